import CKernels
import Tensors
import Testing

@Suite struct InstructionSetTests {
  @Test func nothingPinnedMeansTheBest() throws {
    #expect(try InstructionSet.selected(pinnedTo: nil) == InstructionSet.detected)
    #expect(try InstructionSet.selected(pinnedTo: nil, detected: .avx2) == .avx2)
  }

  @Test(arguments: [("ref", InstructionSet.ref), ("avx2", .avx2), ("avx512", .avx512)])
  func aPinnedOneIsTaken(name: String, expected: InstructionSet) throws {
    #expect(try InstructionSet.selected(pinnedTo: name, detected: .avx512) == expected)
  }

  @Test(arguments: ["", "sse9", "AVX2", " avx2"])
  func anUnknownNameIsRefused(name: String) {
    let error = #expect(throws: InstructionSetError.self) { try InstructionSet.selected(pinnedTo: name) }
    #expect(error?.description == "CNN_DIST_ISA expects ref, avx2 or avx512, got \"\(name)\"")
  }

  @Test func whatTheCPULacksIsRefused() {
    let error = #expect(throws: InstructionSetError.self) {
      try InstructionSet.selected(pinnedTo: "avx512", detected: .avx2)
    }
    #expect(error?.description == "CNN_DIST_ISA asks for avx512, but this CPU has at most avx2")
  }

  @Test func theyAreOrderedByReach() {
    #expect(InstructionSet.allCases.sorted() == [.ref, .avx2, .avx512])
  }
}

@Suite struct ChecksumTests {
  private static let sets = InstructionSet.allCases.filter { $0 <= .detected }

  private static func sums(of floats: [Float]) -> [UInt64] {
    sets.map { cnn_checksum_kernels_for($0.kernelTable).pointee.of(floats, floats.count) }
  }

  private static func floats(_ count: Int) -> [Float] {
    let stream = RandomStream(seed: 1, purpose: .test(2))
    return (0..<count).map { stream.normal(at: $0) }
  }

  @Test(arguments: [0, 1, 15, 16, 17, 63, 64, 65, 1000])
  func allInstructionSetsAgree(count: Int) {
    #expect(Set(Self.sums(of: Self.floats(count))).count == 1)
  }

  /// Bits, zeros at the end, and whole words in other places.
  @Test(arguments: [1, 17, 64, 200])
  func everyChangeOfAWordIsSeen(count: Int) {
    let floats = Self.floats(count)
    let before = Self.sums(of: floats)
    for place in 0..<count {
      for bit in 0..<32 {
        var changed = floats
        changed[place] = Float(bitPattern: changed[place].bitPattern ^ 1 << bit)
        #expect(zip(Self.sums(of: changed), before).allSatisfy { $0 != $1 }, "bit \(bit) of word \(place)")
      }
    }
    #expect(Self.sums(of: floats + [0]) != before)
    let signs = floats.indices.map { $0 == 0 || $0 == 64 ? -floats[$0] : floats[$0] }
    #expect(Self.sums(of: signs) != before)
    #expect(count == 1 || Self.sums(of: floats.reversed()) != before)
  }
}

@Suite struct ReductionTests {
  /// Every instruction set gives the bits of one rounded addition, over odd tails too.
  @Test(arguments: InstructionSet.allCases.filter { $0 <= .detected }, [0, 1, 15, 16, 17, 1000])
  func additionsAreOneRoundedAddition(set: InstructionSet, count: Int) {
    let stream = RandomStream(seed: 1, purpose: .test(1))
    let a = (0..<count).map { stream.normal(at: $0) * 1000 }
    let b = (0..<count).map { stream.normal(at: count + $0) }
    let expected = zip(a, b).map { $0 + $1 }
    let kernels = cnn_reduction_kernels_for(set.kernelTable).pointee
    let (left, right, sum) = (FloatBuffer(a), FloatBuffer(b), FloatBuffer(count: count + 1))
    kernels.sum(sum.pointer, left.pointer, right.pointer, count)
    kernels.add(left.pointer, right.pointer, count)
    #expect(sum.values == expected + [0])
    #expect(left.values == expected)
  }
}
