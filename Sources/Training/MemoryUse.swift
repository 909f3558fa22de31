import Collectives

/// The memory of a rank's optimizer steps by kind, in bytes. All of it is allocated before the first step.
package struct MemoryUse: Codable, Sendable, Equatable {
  /// Ranks of a node that have one copy of the weights in common.
  package var sharers: Int
  /// Parameters and running statistics.
  package var weights: Int
  /// The moving average of the weights.
  package var average: Int
  /// Of this rank's pieces.
  package var optimizer: Int
  /// What layers make of the weights once a step.
  package var prepared: Int
  /// Activations, saved values, their gradients and scratch, of all lanes.
  package var activations: Int
  /// Sums of gradients that lanes hand on, a flat buffer for each maximal tree node of their runs.
  package var gradients: Int
  /// Sums on their way up the tree within a lane, of a layer each; records of batch norms.
  package var tree: Int
  /// Room for what other nodes send.
  package var exchange: Int
  /// Weights of a network that teaches, and what lanes compute its class scores in.
  package var teacher: Int

  package init(
    sharers: Int, weights: Int, average: Int, optimizer: Int, prepared: Int, activations: Int, gradients: Int,
    tree: Int, exchange: Int, teacher: Int = 0
  ) {
    (self.sharers, self.weights, self.average, self.optimizer) = (sharers, weights, average, optimizer)
    (self.prepared, self.activations, self.gradients) = (prepared, activations, gradients)
    (self.tree, self.exchange, self.teacher) = (tree, exchange, teacher)
  }

  package var parts: [(kind: String, bytes: Int)] {
    [
      (sharers > 1 ? "weights, of \(sharers) ranks" : "weights", weights), ("average", average),
      ("optimizer", optimizer), ("prepared weights", prepared), ("activations", activations),
      ("gradients", gradients), ("tree", tree), ("exchange", exchange), ("teacher", teacher),
    ]
  }

  /// With this rank's share of what it has in common with others.
  package var total: Int { parts.dropFirst().reduce(weights / max(1, sharers)) { $0 + $1.bytes } }

  /// A line for each kind that any rank has, and a column of megabytes for each set of ranks that have the same.
  package static func table(_ ranks: [MemoryUse]) -> String {
    func megabytes(_ bytes: Int) -> String { "\((Double(bytes) / 1e5).rounded() / 10)" }
    var columns: [(cells: [String], ranks: [Int])] = []
    for (rank, use) in ranks.enumerated() {
      let cells = use.parts.map { megabytes($0.bytes) } + [megabytes(use.total)]
      if let known = columns.firstIndex(where: { $0.cells == cells }) {
        columns[known].ranks.append(rank)
      } else {
        columns.append((cells, [rank]))
      }
    }
    let kinds = (ranks.first?.parts.map(\.kind) ?? []) + ["together"]
    let rows = kinds.indices
      .filter { kind in columns.contains { $0.cells[kind] != "0.0" } }
      .map { kind in [kinds[kind]] + columns.map { $0.cells[kind] } }
    return TextTable.text(
      [["memory in MB"] + columns.map { Disagreement.name(of: $0.ranks) }] + rows)
  }
}
