import Foundation
import Tensors
import Testing
import Training

@Suite struct VerificationTests {
  /// Two steps of two arrays.
  private static func hashes(_ gradients: [String], _ weights: [String]) throws -> StepHashes {
    let text = """
      {"model": "m", "instructionSet": "ref", "blasKernel": "k", "steps": 2, "arrays": [
        {"name": "a", "quantity": "gradients", "hashes": ["\(gradients[0])", "\(gradients[1])"]},
        {"name": "a", "quantity": "weights", "hashes": ["\(weights[0])", "\(weights[1])"]}]}
      """
    return try JSONDecoder().decode(StepHashes.self, from: Data(text.utf8))
  }

  @Test func theFirstStepAndArrayAreNamed() throws {
    let reference = try Self.hashes(["1", "2"], ["3", "4"])
    #expect(reference.firstDifference(from: reference) == nil)
    let late = try Self.hashes(["1", "9"], ["3", "9"])
    #expect(late.firstDifference(from: reference) == .init(step: 1, quantity: .gradients, array: "a"))
    #expect(late.differingQuantities(from: reference) == [.gradients, .weights])
    let early = try Self.hashes(["1", "9"], ["9", "4"])
    #expect(early.firstDifference(from: reference) == .init(step: 0, quantity: .weights, array: "a"))
  }

  @Test func errorsAreRelativeToTheLargestNumber() throws {
    try withScratchDirectory { directory in
      func write(_ folder: String, _ first: [Float], _ second: [Float]) throws {
        try FileManager.default.createDirectory(
          atPath: "\(directory)/\(folder)", withIntermediateDirectories: true)
        var writer = Safetensors.Writer()
        writer.add("weights.a", Tensor(shape: [2], values: first))
        writer.add("weights.b", Tensor(shape: [2], values: second))
        writer.add("weights.c", Tensor(shape: [1], values: [7]))
        try writer.write(to: Verification.path(ofStep: 0, in: "\(directory)/\(folder)"))
      }
      try write("reference", [1, -4], [100, 0])
      try write("other", [1.5, -4], [101, 0])
      let errors = try Verification.errors(
        of: "\(directory)/other", against: "\(directory)/reference", steps: 1)
      #expect(errors.count == 1)
      #expect(
        errors.first?.array == "a" && errors.first?.largest == 0.125 && errors.first?.quantity == .weights)
      #expect(errors.first?.median == 0.01)
    }
  }
}
