import Models
import Tensors

/// What a lane's operators took, summed over the steps since `clear`. Belongs to one lane.
package final class OperatorTimes: @unchecked Sendable {
  package enum Pass: Int, CaseIterable, Sendable {
    /// The batch statistics of the forward pass count as `statistics`, forward on the way back as `again`. In the order
    /// of a table's columns, and so of `Layer.algorithms`.
    case forward, statistics, again, data, parameters
  }

  private var seconds: [[Double]]

  init(nodes: Int) { seconds = Array(repeating: Self.nothing, count: nodes) }

  private static var nothing: [Double] { Array(repeating: 0, count: Pass.allCases.count) }

  func measure(_ node: Int, _ pass: Pass, _ body: () -> Void) {
    let start = monotonicSeconds()
    body()
    seconds[node][pass.rawValue] += monotonicSeconds() - start
  }

  package func clear() { for node in seconds.indices { seconds[node] = Self.nothing } }

  package func seconds(of node: Int, _ pass: Pass) -> Double { seconds[node][pass.rawValue] }

  /// A line for each operator: milliseconds of a step in which the lane computed `images`, by pass; GFLOP/s
  /// where there are products to count; algorithms.
  package func table(of network: Network, steps: Int, images: Int, kernels: InstructionSet) -> String {
    func milliseconds(_ seconds: Double) -> String { "\((seconds / Double(steps) * 1e5).rounded() / 100)" }
    var rows = [
      ["operator", "kind", "forward", "statistics", "again", "data", "weights", "GFLOP/s", "algorithms"]
    ]
    var totals = Self.nothing
    for (index, node) in network.nodes.enumerated() {
      let times = seconds[index]
      for pass in Pass.allCases { totals[pass.rawValue] += times[pass.rawValue] }
      let algorithms = node.layer.algorithms(for: node.inputShapes, kernels: kernels)
      let flops = 2 * Double(node.layer.multiplyAdds(for: node.inputShapes) * images * steps)
      let speeds = [Pass.forward, .data, .parameters].map { pass in
        let time = times[pass.rawValue]
        return time > 0 && flops / time < 1e13 ? "\(Int(flops / time / 1e9))" : "-"
      }
      rows.append(
        [node.name, node.layer.kind] + times.map(milliseconds)
          + [algorithms.isEmpty ? "" : speeds.joined(separator: " "), algorithms.joined(separator: " ")])
    }
    rows.append(["total", ""] + totals.map(milliseconds) + ["", ""])
    return TextTable.text(rows)
  }
}
