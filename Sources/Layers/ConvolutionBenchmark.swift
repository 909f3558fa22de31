import CKernels
import Tensors

/// Times the algorithms of a convolution on random data, and says how far a result is from that of `ref`, which
/// sums in double.
package struct ConvolutionBenchmark {
  package struct Figure: Sendable {
    package let pass: String
    package let algorithm: String
    /// Of the median call, and of making the weights ready, which a step does once.
    package let seconds: Double
    package let prepareSeconds: Double
    /// Of a direct convolution, whatever the algorithm spends: two for each multiply-add.
    package let floatingPointOperations: Double
    /// max |result − ref| / max |ref|.
    package internal(set) var error: Double

    package var gigaflops: Double { floatingPointOperations / seconds * 1e-9 }
  }

  private let shape: ConvolutionShape
  private let kernels: InstructionSet
  private let x: FloatBuffer
  private let dy: FloatBuffer
  private let weight: FloatBuffer

  package init(_ shape: ConvolutionShape, kernels: InstructionSet) {
    self.shape = shape
    let images = shape.n
    self.kernels = kernels
    x = Self.activations(channels: shape.ic, positions: images * shape.ih * shape.iw, planar: shape.planar, 1)
    dy = Self.activations(channels: shape.oc, positions: images * shape.oh * shape.ow, planar: false, 2)
    let storage = ArrayStorage.panels(taps: shape.kh * shape.kw)
    let form: Shape = [shape.oc, shape.ic / shape.groups, shape.kh, shape.kw]
    weight = FloatBuffer(count: storage.count(of: form))
    storage.pack(Self.random(form.count, 3), form, into: weight.pointer)
  }

  /// All algorithms: those of the kernels' table, and im2row with OpenBLAS.
  package static func names(_ kernels: InstructionSet) -> [String] {
    var count = 0
    guard let table = cnn_conv_algorithms(kernels.kernelTable, &count) else { return [] }
    return (0..<count).compactMap { table[$0].map { String(cString: $0.pointee.name) } } + [blas]
  }

  private static let blas = ConvolutionChoice.blas.rawValue

  /// The passes that anybody asks for.
  package var passes: [cnn_conv_pass] {
    Convolution.passes.filter { !(shape.planar && $0 == CNN_CONV_BACKWARD_DATA) }
  }

  /// The algorithms that can do this pass, BLAS too.
  package func algorithms(_ pass: cnn_conv_pass) -> [String] {
    Convolution.candidates(shape, pass, kernels) + [Self.blas]
  }

  /// What a pass should give.
  package func reference(_ pass: cnn_conv_pass) -> [Float] { run("ref", pass, seconds: 0).0 }

  /// Calls for about `seconds`, at least three; without any, once.
  package func measure(
    _ name: String, _ pass: cnn_conv_pass, seconds: Double, reference: [Float]
  ) -> Figure {
    let (result, times, prepareSeconds) = run(name, pass, seconds: seconds)
    var error: Float = 0
    var largest = Float.leastNormalMagnitude
    for (value, expected) in zip(result, reference) {
      error = max(error, abs(value - expected))
      largest = max(largest, abs(expected))
    }
    let multiplyAdds =
      shape.n * shape.oc * shape.oh * shape.ow * shape.ic / shape.groups * shape.kh * shape.kw
    return Figure(
      pass: Self.name(of: pass), algorithm: name, seconds: times.sorted()[times.count / 2],
      prepareSeconds: prepareSeconds, floatingPointOperations: 2 * Double(multiplyAdds),
      error: Double(error) / Double(largest))
  }

  package static func name(of pass: cnn_conv_pass) -> String {
    switch pass {
    case CNN_CONV_FORWARD: "forward"
    case CNN_CONV_BACKWARD_DATA: "data"
    default: "weights"
    }
  }

  /// The result, the seconds of each call, and those of preparing the weights.
  private func run(_ name: String, _ pass: cnn_conv_pass, seconds: Double) -> ([Float], [Double], Double) {
    let result = FloatBuffer(count: [dy.count, x.count, weight.count][Int(pass.rawValue)])
    let (call, prepareSeconds) = name == Self.blas ? blasCall(pass, result) : kernelCall(name, pass, result)
    var times: [Double] = []
    let first = monotonicSeconds()
    repeat {
      let start = monotonicSeconds()
      call()
      times.append(monotonicSeconds() - start)
    } while seconds > 0 && (times.count < 3 || monotonicSeconds() - first < seconds)
    return (result.values, times, prepareSeconds)
  }

  /// What computes the pass into `result`, and the seconds of preparing the weights.
  private func kernelCall(
    _ name: String, _ pass: cnn_conv_pass, _ result: FloatBuffer
  ) -> (call: () -> Void, prepareSeconds: Double) {
    var shape = shape
    guard let algorithm = cnn_conv_algorithm_named(kernels.kernelTable, name)?.pointee else {
      preconditionFailure("there is no algorithm named \(name)")
    }
    let scratch = FloatBuffer(count: algorithm.scratch(&shape, pass))
    let prepared = FloatBuffer(count: algorithm.prepared(&shape, pass))
    let prepareSeconds = Self.secondsOfSecond {
      if prepared.count > 0 { algorithm.prepare(&shape, pass, prepared.pointer, weight.pointer) }
    }
    var ending = cnn_conv_ending()
    let call = { [x, dy, weight] in
      let (to, ready, memory) = (result.pointer, prepared.pointer, scratch.pointer)
      switch pass {
      case CNN_CONV_FORWARD:
        algorithm.forward(&shape, to, x.pointer, weight.pointer, ready, &ending, memory)
      case CNN_CONV_BACKWARD_DATA:
        algorithm.backward_data(&shape, to, dy.pointer, weight.pointer, ready, memory)
      default: algorithm.backward_weights(&shape, to, x.pointer, dy.pointer, memory)
      }
    }
    return (call, prepareSeconds)
  }

  /// The same by im2row and OpenBLAS.
  private func blasCall(
    _ pass: cnn_conv_pass, _ result: FloatBuffer
  ) -> (call: () -> Void, prepareSeconds: Double) {
    let convolution = ConvolutionBLAS(shape, kernels)
    let scratch = FloatBuffer(count: convolution.scratchCount)
    let prepared = FloatBuffer(count: convolution.preparedCount)
    let prepareSeconds = Self.secondsOfSecond {
      convolution.prepare(prepared.pointer, weight: weight.pointer)
    }
    let call = { [x, dy] in
      let (to, ready, memory) = (result.pointer, prepared.pointer, scratch.pointer)
      switch pass {
      case CNN_CONV_FORWARD:
        convolution.forward(y: to, x: x.pointer, prepared: ready, ending: cnn_conv_ending(), scratch: memory)
      case CNN_CONV_BACKWARD_DATA:
        convolution.backwardData(dx: to, dy: dy.pointer, prepared: ready, scratch: memory)
      default: convolution.backwardWeights(dWeight: to, x: x.pointer, dy: dy.pointer, scratch: memory)
      }
    }
    return (call, prepareSeconds)
  }

  /// The first call finds its memory for the first time.
  private static func secondsOfSecond(_ body: () -> Void) -> Double {
    body()
    let began = monotonicSeconds()
    body()
    return monotonicSeconds() - began
  }

  /// Uniform in [−1, 1), blocked by channels with zeros in the lanes of channels that don't exist.
  private static func activations(channels: Int, positions: Int, planar: Bool, _ number: Int) -> FloatBuffer {
    if planar { return FloatBuffer(random(channels * positions, number)) }
    let block = Int(CNN_BLOCK)
    let values = FloatBuffer(random((channels + block - 1) / block * block * positions, number))
    for index in 0..<values.count where index / (positions * block) * block + index % block >= channels {
      values[index] = 0
    }
    return values
  }

  private static func random(_ count: Int, _ number: Int) -> [Float] {
    let stream = RandomStream(seed: 0, purpose: .synthesis, position: number)
    return (0..<count).map { 2 * stream.uniform(at: $0) - 1 }
  }
}
