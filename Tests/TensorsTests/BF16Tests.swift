import CKernels
import Synchronization
import Tensors
import Testing

/// Products of bf16 have the same bits by the instruction and by each emulation of it.
@Suite struct BF16Tests {
  /// All algorithms that round, of each instruction set; the first is what this CPU does best.
  private static var algorithms: [(set: InstructionSet, algorithm: cnn_conv_algorithm)] {
    ConvolutionTests.sets.reversed().flatMap { set in
      ConvolutionTests.allAlgorithms(set).filter(ConvolutionTests.rounds).map { (set, $0) }
    }
  }

  /// The bits of every pass by every algorithm, compared with the first that can do it; on a thread that flushes
  /// denormals, as all threads that compute do. Returns what differs, and how many were compared.
  private func differences(_ tests: [ConvolutionCase]) -> (differing: [String], compared: Int) {
    let result = Mutex<(differing: [String], compared: Int)>(([], 0))
    let thread = WorkerThread {
      for test in tests {
        for pass in ConvolutionCase.Pass.allCases {
          var first: [String: [UInt32]] = [:]
          for (set, algorithm) in Self.algorithms {
            guard let got = test.run(algorithm, pass) else { continue }
            // Which of two NaNs goes on is not part of the promise.
            let bits = got.values.values.map { $0.isNaN ? Float.nan.bitPattern : $0.bitPattern }
            let name = String(cString: algorithm.name)
            guard let expected = first[name] else {
              first[name] = bits
              continue
            }
            result.withLock {
              $0.compared += 1
              if let at = zip(bits, expected).enumerated().first(where: { $1.0 != $1.1 }) {
                $0.differing.append(
                  "\(name) \(pass) on \(set) at \(at.offset): \(Float(bitPattern: at.element.0)) instead of "
                    + "\(Float(bitPattern: at.element.1)), \(test)")
              }
            }
          }
        }
      }
    }
    thread.join()
    return result.withLock { $0 }
  }

  @Test(arguments: ConvolutionKind.allCases)
  func allInstructionSetsGiveTheSameBits(kind: ConvolutionKind) {
    let tests = (0..<(kind == .wide ? 3 : 30)).map { ConvolutionCase(kind.shape($0), hasBias: $0 % 2 == 0) }
    let (differing, compared) = differences(tests)
    #expect(differing.isEmpty, "\(differing.count): \(differing.first ?? "")")
    #expect(compared > 0 || kind == .grouped || kind == .depthwise)
  }

  /// Numbers of every size: products that underflow and overflow, denormals, infinities, values half way between
  /// two bf16 numbers, sums that cancel.
  @Test func numbersOfEverySizeGiveTheSameBits() {
    let tests = (0..<40).map { number -> ConvolutionCase in
      let stream = RandomStream(seed: 11, purpose: .test(number))
      var index = 0
      // In every second case no infinities, or NaNs would hide the rest.
      let exponents: UInt32 = number % 2 == 0 ? 256 : 250
      let span: UInt32 = [256, 40, 12, 3][number % 4]
      let kind: ConvolutionKind = [.pointwise, .threeByThree, .dense, .planar, .general][number % 5]
      return ConvolutionCase(kind.shape(number), hasBias: false).factors { value in
        guard value.isFinite, value != 0 else { return value }
        index += 1
        let random = UInt32(truncatingIfNeeded: stream.integer(at: 2 * index, below: 1 << 24))
        let offset = UInt32(stream.integer(at: 2 * index + 1, below: Int(span)))
        let centre: UInt32 = [0, 64, 127, 60][number % 4]
        let exponent = min(centre + offset, exponents - 1)
        let mantissa =
          exponent == 255 ? 0 : index % 3 == 0 ? (random & 0x7F0000) | 0x8000 : random & 0x7FFFFF
        return Float(bitPattern: (random >> 23) << 31 | exponent << 23 | mantissa)
      }
    }
    let (differing, compared) = differences(tests)
    #expect(differing.isEmpty, "\(differing.count): \(differing.first ?? "")")
    #expect(compared > 0)
  }
}
