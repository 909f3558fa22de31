import Layers
import Tensors
import Testing

/// A case of pooling.safetensors.
struct PoolingHyper: Decodable {
  var kind: String
  var kernel, stride, padding, dilation, output: [Int]
  var ceil: Bool
  var includePad: Bool

  var layer: any Layer {
    func pair(_ numbers: [Int]) -> Size2D { Size2D(numbers[0], numbers[1]) }
    return switch kind {
    case "MaxPool2d":
      MaxPool2d(
        kernel: pair(kernel), stride: pair(stride), padding: pair(padding), dilation: pair(dilation),
        ceilMode: ceil)
    case "AvgPool2d":
      AvgPool2d(
        kernel: pair(kernel), stride: pair(stride), padding: pair(padding), ceilMode: ceil,
        countIncludePad: includePad)
    default: AdaptiveAvgPool2d(output: pair(output))
    }
  }
}

/// Runs every case of one kind on every instruction set: errors to PyTorch at most `bound`, bits equal to `ref`.
func expectPoolingEqualsPyTorch(kind: String, bound: Double) throws {
  let golden = try GoldenFile("pooling")
  let cases = try golden.cases(PoolingHyper.self).filter { $0.hyper.kind == kind }
  #expect(cases.count >= 7)
  for (name, hyper) in cases {
    let y = try golden.tensor("\(name)/y")
    let harness = try LayerHarness(hyper.layer, inputs: [try golden.tensor("\(name)/x")])
    #expect(harness.outputShape == FeatureShape(ofBatch: y), "\(name)")
    guard harness.outputShape == FeatureShape(ofBatch: y) else { continue }
    harness.kernels = .ref
    let reference = harness.run(outputGradient: try golden.tensor("\(name)/dy"))
    for kernels in InstructionSet.available {
      harness.kernels = kernels
      let result = harness.run(outputGradient: try golden.tensor("\(name)/dy"))
      let dx = try #require(result.inputGradients[0])
      #expect(maxRelativeError(result.output, y) <= bound, "\(name) on \(kernels)")
      #expect(
        maxRelativeError(dx, try golden.tensor("\(name)/dx")) <= max(bound, 1e-6), "\(name) on \(kernels)")
      #expect(
        result.output == reference.output && result.inputGradients == reference.inputGradients, "\(name)")
      #expect(harness.run(mode: .inference).output == reference.output, "\(name)")
      let unwanted = harness.run(outputGradient: y, inputGradientsWanted: [false])
      #expect(unwanted.inputGradients == [nil])
    }
  }
}

/// Output sizes, and what is refused, for hundreds of random hyper-parameters.
func expectShapeRuleEqualsPyTorch(kind: String) throws {
  let numbers = try GoldenFile("pooling").integers("shapes/\(kind)").map(Int.init)
  #expect(numbers.count == 400 * 13)
  for row in stride(from: 0, to: numbers.count, by: 13).map({ Array(numbers[$0..<($0 + 13)]) }) {
    let hyper = PoolingHyper(
      kind: kind, kernel: [row[2], row[3]], stride: [row[4], row[5]], padding: [row[6], row[7]],
      dilation: [row[8], row[9]], output: [], ceil: row[10] == 1, includePad: true)
    let expected = row[11] == 0 ? nil : FeatureShape(channels: 2, height: row[11], width: row[12])
    let got = try? hyper.layer.outputShape(of: [FeatureShape(channels: 2, height: row[0], width: row[1])])
    #expect(got == expected, "\(row)")
  }
}
