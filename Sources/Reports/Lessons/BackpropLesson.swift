import Layers
import Tensors

extension LessonTopic {
  static let backprop = LessonTopic(
    name: "backprop", sentence: "Forward and backward of one convolution, checked by finite differences.",
    make: BackpropLesson.make)
}

enum BackpropLesson {
  static let picture: [[Float]] = [[1, 2, 0, 1], [0, 1, 3, 1], [2, 1, 0, 0], [1, 0, 1, 2]]
  static let kernel: [[Float]] = [[1, 0], [-1, 2]]
  /// dL/dy: L is the sum of the outputs weighted by it.
  static let gradient: [[Float]] = [[1, 0, -1], [2, 1, 0], [0, -1, 1]]

  static func make(_ input: LessonInput) throws -> Lesson {
    let layer = Conv2d(outputChannels: 1, kernel: 2, bias: false)
    let (x, dy) = (Batch(rows: picture), Batch(rows: gradient))
    let weight = Tensor(shape: [1, 1, 2, 2], values: kernel.flatMap { $0 })
    let result = try input.engine.run(
      layer, [x], parameters: [weight], statistics: [], mode: .training, outputGradient: dy, epoch: 0)
    let dx = result.inputGradient?.doubles ?? []
    let dw = result.parameterGradients.first?.values.map(Double.init) ?? []
    func loss(_ x: Batch, _ weight: Tensor) throws -> Double {
      let y = try input.engine.forward(layer, x, parameters: [weight])
      return zip(y.doubles, dy.doubles).reduce(0) { $0 + $1.0 * $1.1 }
    }
    let step: Float = 0.125
    let byDifferences = try weight.values.indices.map { index -> Double in
      var (up, down) = (weight, weight)
      up.values[index] += step
      down.values[index] -= step
      return try (loss(x, up) - loss(x, down)) / Double(2 * step)
    }
    let xByDifferences = try x.values.indices.map { index -> Double in
      var (up, down) = (x, x)
      up.values[index] += step
      down.values[index] -= step
      return try (loss(up, weight) - loss(down, weight)) / Double(2 * step)
    }
    let worst = zip(dw + dx, byDifferences + xByDifferences).map { abs($0 - $1) }.max() ?? .nan
    let rows: [[String]] =
      [["weight", "backward", "(L(w + h) − L(w − h)) / 2h"]]
      + dw.indices.map { k -> [String] in
        ["w[\(k / 2), \(k % 2)]", LessonText.number(dw[k]), LessonText.number(byDifferences[k])]
      }
    return Lesson(
      """
      Backward asks of each number: if it were a little larger, how much larger would the loss be? For a convolution

        forward          y[i, j]  = Σ w[a, b] · x[i + a, j + b]
        weights          dw[a, b] = Σ dy[i, j] · x[i + a, j + b]       (the input, weighted by what is wanted of y)
        input            dx[i, j] = Σ w[a, b] · dy[i − a, j − b]       (the kernel turned: a true convolution)

      L = Σ dy · y here. By the engine's backward pass, and by moving each weight by ±h = 0.125 and running forward:

      \(LessonText.table(rows))

      Largest difference over 4 weights and 16 pixels: \(LessonText.scientific(worst)).
      """,
      Figure(
        "Backpropagation through one convolution",
        [
          HeatMap("x", x.doubles, columns: 4), HeatMap("w", weight.values.map(Double.init), columns: 2),
          HeatMap("y, forward", result.output.doubles, columns: 3),
          HeatMap("dL/dy, given", dy.doubles, columns: 3),
          HeatMap("dL/dw, backward", dw, columns: 2), HeatMap("dL/dx, backward", dx, columns: 4),
          TablePanel("Checked by finite differences", rows),
        ]),
      numbers: [
        "y": result.output.doubles, "dw": dw, "dx": dx, "dw_differences": byDifferences, "error": [worst],
      ])
  }
}
