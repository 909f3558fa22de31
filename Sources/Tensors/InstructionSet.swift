import CKernels

/// The instruction set that kernels are dispatched to: a part of a run's *binding*, since other
/// instruction sets may give other bits.
package enum InstructionSet: String, CaseIterable, Comparable, Sendable {
  case ref, avx2, avx512

  package var kernelTable: cnn_isa {
    switch self {
    case .ref: CNN_ISA_REF
    case .avx2: CNN_ISA_AVX2
    case .avx512: CNN_ISA_AVX512
    }
  }

  package static func < (a: Self, b: Self) -> Bool { a.kernelTable.rawValue < b.kernelTable.rawValue }

  /// The best that this CPU supports.
  package static var detected: InstructionSet {
    allCases.first { $0.kernelTable == cnn_isa_detect() } ?? .ref
  }

  /// The instruction set that `CNN_DIST_ISA` pins, or the best of this CPU where it is `nil`.
  package static func selected(
    pinnedTo name: String?, detected: InstructionSet = detected
  ) throws(InstructionSetError) -> InstructionSet {
    guard let name else { return detected }
    guard let wanted = InstructionSet(rawValue: name) else { throw .unknown(name) }
    guard wanted <= detected else { throw .unsupported(wanted, detected) }
    return wanted
  }
}

/// `CNN_DIST_ISA` asks for what is not there.
package enum InstructionSetError: Error, CustomStringConvertible {
  case unknown(String)
  case unsupported(InstructionSet, InstructionSet)

  package var description: String {
    switch self {
    case .unknown(let name): "CNN_DIST_ISA expects ref, avx2 or avx512, got \"\(name)\""
    case .unsupported(let wanted, let detected):
      "CNN_DIST_ISA asks for \(wanted), but this CPU has at most \(detected)"
    }
  }
}
