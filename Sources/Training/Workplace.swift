import Collectives
import Foundation
import Tensors

/// What a rank computes with: its instruction set, its lanes, and the threads that load images for them.
package struct Workplace {
  package let kernels: InstructionSet
  package let binding: Binding
  package let placement: Placement
  /// What binds lanes to cores while the rank trains.
  package let pinning: LanePinning
  package let team: ThreadTeam
  /// Threads that load images ahead of the lanes.
  package let loaders: Int

  /// All ranks agree on their binding and share out the cores. Collective. Throws `Disagreement` and
  /// what the instruction set's name or the communication gives rise to.
  package init(_ config: RunConfig, communicator: Communicator) throws {
    kernels = try communicator.together {
      try InstructionSet.selected(pinnedTo: ProcessInfo.processInfo.environment["CNN_DIST_ISA"])
    }
    binding = Binding(kernels: kernels)
    try communicator.requireEqual(binding.entries)
    let lanes = config.training.lanes
    placement = try Placement.establish(
      communicator, lanes: lanes == 0 ? nil : lanes, pin: config.placement.pin)
    pinning = LanePinning(placement)
    team = ThreadTeam(count: placement.own.lanes)
    loaders = config.data.threads == 0 ? team.count : config.data.threads
  }
}

/// What must be equal for equal bits: the program, the instruction set, and the BLAS that it runs on.
package struct Binding: Sendable {
  package let entries: [(name: String, value: String)]

  package init(kernels: InstructionSet) {
    entries = [
      ("version", Version.current), ("instruction set", kernels.rawValue), ("BLAS kernel", GEMM.kernelName),
      ("BLAS", GEMM.configuration),
    ]
  }

  package var dictionary: [String: String] {
    Dictionary(uniqueKeysWithValues: entries.map { ($0.name, $0.value) })
  }
}

/// The version of the program.
package enum Version {
  package static let current = "0.1.0"
}
