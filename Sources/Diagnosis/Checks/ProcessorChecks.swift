extension CheckGroup {
  /// What computes: the instruction set and the kernels of BLAS, part of a run's binding.
  static let processor = CheckGroup(
    name: "processor",
    checks: [
      Check("model") { facts in
        let groups = facts.groups { facts.ranks[$0].cpu }
        return groups.count == 1
          ? [.ok(groups[0].key)]
          : [
            .warning(
              "nodes differ: \(facts.differing(groups))",
              fix: "ask for nodes of one kind (sbatch --constraint): a step waits for the slowest rank")
          ]
      },
      Check("instruction set") { facts in
        let refused = facts.groups { facts.ranks[$0].isaProblem }.filter { $0.key != nil }
        guard refused.isEmpty else {
          return refused.map {
            .failure(
              "\(facts.name(of: $0.ranks)): \($0.key ?? "")", fix: "unset CNN_DIST_ISA or correct it")
          }
        }
        let groups = facts.groups { facts.ranks[$0].selectedISA ?? "" }
        guard groups.count == 1 else {
          return [
            .failure(
              "ranks compute with different instruction sets: \(facts.differing(groups))",
              fix:
                "pin the least of them on all ranks: mpirun -x CNN_DIST_ISA=\(groups.map(\.key).min(by: slower) ?? "")"
            )
          ]
        }
        let slowed = facts.ranks.indices.filter { facts.ranks[$0].selectedISA != facts.ranks[$0].detectedISA }
        guard let first = slowed.first else { return [.ok(groups[0].key)] }
        return [
          .warning(
            "CNN_DIST_ISA pins \(groups[0].key) where \(facts.ranks[first].detectedISA) is there",
            fix: "unset CNN_DIST_ISA, unless a run that began elsewhere must keep its bits")
        ]
      },
      Check("BLAS kernel") { facts in
        let groups = facts.groups { facts.ranks[$0].blasKernel }
        guard groups.count == 1 else {
          return [
            .failure(
              "ranks run different kernels: \(facts.differing(groups))",
              fix: "set OPENBLAS_CORETYPE to one of them on all ranks: mpirun -x OPENBLAS_CORETYPE=NAME")
          ]
        }
        let forced = facts.ranks[0].environment["OPENBLAS_CORETYPE"]
        if let forced, facts.ranks[0].detectedISA == "avx512", !avx512Kernels.contains(groups[0].key) {
          return [
            .warning(
              "OPENBLAS_CORETYPE=\(forced) makes OpenBLAS run \(groups[0].key) on a CPU with AVX-512",
              fix: "unset OPENBLAS_CORETYPE (engine.convolution: auto uses BLAS for no layer)")
          ]
        }
        return [.ok(groups[0].key + (forced.map { " (OPENBLAS_CORETYPE=\($0))" } ?? ""))]
      },
    ])

  private static let avx512Kernels = ["SkylakeX", "Cooperlake", "Sapphirerapids"]

  private static func slower(_ a: String, _ b: String) -> Bool {
    let order = ["ref", "avx2", "avx512"]
    return (order.firstIndex(of: a) ?? 0) < (order.firstIndex(of: b) ?? 0)
  }
}
