extension CheckGroup {
  /// The program and the libraries that it found at run time.
  static let program = CheckGroup(
    name: "program",
    checks: [
      Check("version") { facts in
        let groups = facts.groups { "\(facts.ranks[$0].version), \(facts.ranks[$0].compiler)" }
        return groups.count == 1
          ? [.ok("cnn-dist \(groups[0].key)")]
          : [
            .failure(
              "ranks run different programs: \(facts.differing(groups))",
              fix: "install one build where all nodes see it: scripts/install --prefix DIR")
          ]
      },
      Check("MPI") { facts in
        let groups = facts.groups { facts.ranks[$0].mpi }
        guard groups.count == 1 else {
          return [
            .failure(
              "ranks run with different libraries: \(facts.differing(groups))",
              fix: "load the same MPI module on all nodes (mpirun -x LD_LIBRARY_PATH hands yours on)")
          ]
        }
        let library = groups[0].key
        guard let headers = facts.ranks[0].mpiHeaders else { return [.ok(library)] }
        // Of one major version the binary interface is the same.
        let major = headers.split(separator: ".")[0]
        return library.contains("v\(major).")
          ? [.ok("\(library), built against \(headers)")]
          : [
            .failure(
              "\(library) runs, but the program was built against Open MPI \(headers)",
              fix: "load the MPI that it was built with, or build again with this one: scripts/install")
          ]
      },
      Check("BLAS") { facts in
        // The kernel's name stands in it too, and has a check of its own.
        let groups = facts.groups { rank in
          facts.ranks[rank].blas.split(separator: " ").filter { $0 != facts.ranks[rank].blasKernel }
            .joined(separator: " ")
        }
        return groups.count == 1
          ? [.ok(groups[0].key)]
          : [
            .failure(
              "ranks run with different BLAS: \(facts.differing(groups))",
              fix: "load the same OpenBLAS on all nodes: other builds give other bits")
          ]
      },
    ])
}
