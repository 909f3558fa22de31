import Foundation
import Testing
import Yams

/// deploy/kubernetes/train.yaml against what the MPI operator's v2beta1 accepts: its schema prunes unknown keys without
/// a word, and its controller refuses what its validation names, both only in a cluster.
@Suite struct MPIJobTests {
  /// What may stand under a key.
  private indirect enum Schema: Sendable {
    case text
    case number(least: Int)
    case flag
    case word([String])
    /// CPUs or bytes: a number, or one with a suffix.
    case quantity
    case list(Schema)
    case object([String: Schema], required: [String] = [])
    /// Any names, values of one kind.
    case map(Schema)
  }

  private func problems(_ value: Any?, _ schema: Schema, at path: String) -> [String] {
    func expected(_ what: String) -> [String] { ["\(path) expects \(what)"] }
    switch schema {
    case .text: return value is String ? [] : expected("a text")
    case .number(let least):
      return (value as? Int).map { $0 >= least } == true ? [] : expected("\(least) or more")
    case .flag: return value is Bool ? [] : expected("true or false")
    case .word(let words):
      return (value as? String).map { words.contains($0) } == true
        ? [] : expected(words.joined(separator: ", "))
    case .quantity:
      let text = (value as? String) ?? (value as? Int).map { "\($0)" } ?? ""
      return text.wholeMatch(of: /[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?/) == nil
        ? expected("a quantity") : []
    case .list(let element):
      guard let list = value as? [Any] else { return expected("a list") }
      return list.enumerated().flatMap { problems($0.element, element, at: "\(path)[\($0.offset)]") }
    case .map(let element):
      guard let map = value as? [String: Any] else { return expected("keys") }
      return map.flatMap { problems($0.value, element, at: "\(path).\($0.key)") }
    case .object(let keys, let required):
      guard let object = value as? [String: Any] else { return expected("keys") }
      return required.filter { object[$0] == nil }.map { "\(path) lacks \($0)" }
        + object.flatMap { name, value in
          keys[name].map { problems(value, $0, at: "\(path).\(name)") } ?? ["\(path) knows no \(name)"]
        }
    }
  }

  // The parts of core/v1 that a trainer has a use for.
  private static let handler = Schema.object([
    "exec": .object(["command": .list(.text)], required: ["command"])
  ])
  private static let resources = Schema.object(["requests": .map(.quantity), "limits": .map(.quantity)])
  private static let container = Schema.object(
    [
      "name": .text, "image": .text, "command": .list(.text), "args": .list(.text),
      "lifecycle": .object(["preStop": handler]), "resources": resources,
      "env": .list(.object(["name": .text, "value": .text], required: ["name"])),
      "readinessProbe": .object([
        "tcpSocket": .object(["port": .number(least: 1)], required: ["port"]),
        "periodSeconds": .number(least: 1),
      ]),
      "volumeMounts": .list(
        .object(["name": .text, "mountPath": .text, "readOnly": .flag], required: ["name", "mountPath"])),
    ], required: ["name", "image"])
  private static let pod = Schema.object(
    [
      "containers": .list(container), "terminationGracePeriodSeconds": .number(least: 0),
      "securityContext": .object([
        "runAsUser": .number(least: 1), "runAsGroup": .number(least: 1), "fsGroup": .number(least: 1),
        "runAsNonRoot": .flag,
      ]),
      "volumes": .list(
        .object(
          [
            "name": .text,
            "persistentVolumeClaim": .object(
              ["claimName": .text, "readOnly": .flag], required: ["claimName"]),
          ], required: ["name"])),
      "affinity": .object([
        "podAntiAffinity": .object([
          "preferredDuringSchedulingIgnoredDuringExecution": .list(
            .object(
              [
                "weight": .number(least: 1),
                "podAffinityTerm": .object(
                  ["topologyKey": .text, "labelSelector": .object(["matchLabels": .map(.text)])],
                  required: ["topologyKey"]),
              ], required: ["weight", "podAffinityTerm"]))
        ])
      ]),
    ], required: ["containers"])
  /// The operator takes Never and OnFailure only.
  private static let replica = Schema.object(
    [
      "replicas": .number(least: 1), "restartPolicy": .word(["Never", "OnFailure"]),
      "template": .object(["spec": pod], required: ["spec"]),
    ], required: ["template"])
  private static let job = Schema.object(
    [
      "apiVersion": .word(["kubeflow.org/v2beta1"]), "kind": .word(["MPIJob"]),
      "metadata": .object(["name": .text, "namespace": .text, "labels": .map(.text)], required: ["name"]),
      "spec": .object(
        [
          "slotsPerWorker": .number(least: 1), "mpiImplementation": .word(["OpenMPI", "Intel", "MPICH"]),
          "sshAuthMountPath": .text, "launcherCreationPolicy": .word(["AtStartup", "WaitForWorkersReady"]),
          "runLauncherAsWorker": .flag,
          "runPolicy": .object([
            "cleanPodPolicy": .word(["None", "Running", "All"]), "ttlSecondsAfterFinished": .number(least: 0),
            "activeDeadlineSeconds": .number(least: 0), "backoffLimit": .number(least: 0), "suspend": .flag,
          ]),
          "mpiReplicaSpecs": .object(
            ["Launcher": replica, "Worker": replica], required: ["Launcher", "Worker"]),
        ], required: ["mpiReplicaSpecs"]),
    ], required: ["apiVersion", "kind", "metadata", "spec"])

  private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appendingPathComponent("../../deploy/kubernetes").standardized

  private func text(_ file: String) throws -> String {
    try String(contentsOf: Self.folder.appendingPathComponent(file), encoding: .utf8)
  }

  private func complaints(_ yaml: String) throws -> [String] {
    let job = try Yams.load(yaml: yaml)
    return problems(job, Self.job, at: "job") + contradictions(job)
  }

  /// What no schema says: names that must meet, and one launcher.
  private func contradictions(_ job: Any?) -> [String] {
    func at(_ value: Any?, _ path: String) -> Any? {
      path.split(separator: ".").reduce(value) { value, key in
        Int(key).map { index in (value as? [Any]).flatMap { $0.indices.contains(index) ? $0[index] : nil } }
          ?? (value as? [String: Any])?[String(key)]
      }
    }
    let specs = at(job, "spec.mpiReplicaSpecs")
    var found: [String] = []
    if at(specs, "Launcher.replicas") as? Int != 1 { found.append("an MPIJob has one launcher") }
    for role in ["Launcher", "Worker"] {
      let pod = at(specs, "\(role).template.spec")
      let volumes = (at(pod, "volumes") as? [[String: Any]] ?? []).compactMap { $0["name"] as? String }
      let mounts = (at(pod, "containers.0.volumeMounts") as? [[String: Any]] ?? []).compactMap {
        $0["name"] as? String
      }
      if Set(volumes) != Set(mounts) { found.append("\(role) mounts \(mounts) of \(volumes)") }
    }
    return found
  }

  @Test func theShippedJobIsAccepted() throws {
    #expect(try complaints(text("train.yaml")) == [])
  }

  @Test func itsClaimsAreThere() throws {
    let claims = try Yams.load_all(yaml: text("storage.yaml")).compactMap {
      document -> String? in
      ((document as? [String: Any])?["metadata"] as? [String: Any])?["name"] as? String
    }
    for claim in claims { #expect(try text("train.yaml").contains("claimName: \(claim)")) }
    #expect(claims.count == 2)
  }

  @Test func whatTheOperatorRefusesIsFound() throws {
    let job = try text("train.yaml")
    func planted(_ old: String, _ new: String) throws -> [String] {
      try complaints(job.replacingOccurrences(of: old, with: new))
    }
    #expect(
      try planted("slotsPerWorker: 1", "slotsPerWorker: 0") == ["job.spec.slotsPerWorker expects 1 or more"])
    #expect(try planted("slotsPerWorker", "slotPerWorker") == ["job.spec knows no slotPerWorker"])
    #expect(
      try planted("restartPolicy: OnFailure", "restartPolicy: Always")
        == ["job.spec.mpiReplicaSpecs.Launcher.restartPolicy expects Never, OnFailure"])
    #expect(try planted("    Worker:", "    Workers:").contains("job.spec.mpiReplicaSpecs lacks Worker"))
    #expect(try planted("replicas: 1", "replicas: 2") == ["an MPIJob has one launcher"])
    #expect(try planted("memory: 256Mi", "memory: 256MB").count == 1)
    #expect(try planted("{ name: runs, mountPath: /runs }", "{ name: run, mountPath: /runs }").count == 2)
  }
}
