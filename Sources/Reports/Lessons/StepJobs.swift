/// Training steps on real ranks, each a job of its own, as `allreduce` compares them. Whoever can start jobs gives it.
package struct StepJobs: Sendable {
  package struct Gradient: Sendable {
    package let name: String
    package let values: [Float]

    package init(name: String, values: [Float]) { (self.name, self.values) = (name, values) }
  }

  /// What one job made in its step.
  package struct Made: Sendable {
    /// The mean gradient of each array.
    package let gradients: [Gradient]
    package let weightsHashes: [String]

    package init(gradients: [Gradient], weightsHashes: [String]) {
      (self.gradients, self.weightsHashes) = (gradients, weightsHashes)
    }
  }

  /// What is trained, in words.
  package let subject: String
  /// Runs a step on so many ranks, its gradients added in the tree, or by a plain all-reduce.
  package let run: @Sendable (_ ranks: Int, _ isTree: Bool) throws -> Made

  package init(of subject: String, run: @escaping @Sendable (_ ranks: Int, _ isTree: Bool) throws -> Made) {
    (self.subject, self.run) = (subject, run)
  }
}

/// How the gradients of jobs differ from those of one rank.
struct JobComparison {
  struct Row {
    let ranks: Int
    let isTree: Bool
    let differing: Int
    let numbers: Int
    /// The largest distance of two numbers in units of the last bit.
    let farthest: Int
    let weightsAreEqual: Bool
  }

  let subject: String
  let rows: [Row]
  /// A number that a plain sum makes otherwise: of which array, and as each job has it.
  let example: (name: String, numbers: [(what: String, value: Float)])?

  static let counts = [1, 3, 4]

  init(_ jobs: StepJobs, say: (String) -> Void) throws {
    subject = jobs.subject
    var (rows, example): ([Row], (String, [(String, Float)])?) = ([], nil)
    for isTree in [true, false] {
      var first: StepJobs.Made?
      for ranks in Self.counts {
        say(
          "allreduce: a step on \(ranks) rank\(ranks == 1 ? "" : "s"), \(isTree ? "tree" : "plain all-reduce")"
        )
        let made = try jobs.run(ranks, isTree)
        let reference = first ?? made
        if first == nil { first = made }
        var (differing, numbers, farthest) = (0, 0, 0)
        for (mine, theirs) in zip(made.gradients, reference.gradients) {
          for (a, b) in zip(mine.values, theirs.values) {
            numbers += 1
            guard a.bitPattern != b.bitPattern else { continue }
            differing += 1
            farthest = max(farthest, Self.steps(from: a, to: b))
            if !isTree, example == nil, abs(a) > 1e-4 {
              example = (mine.name, [("1 rank, plain sum", b), ("\(ranks) ranks, plain sum", a)])
            }
          }
        }
        rows.append(
          Row(
            ranks: ranks, isTree: isTree, differing: differing, numbers: numbers, farthest: farthest,
            weightsAreEqual: made.weightsHashes == reference.weightsHashes))
      }
    }
    (self.rows, self.example) = (rows, example)
  }

  /// How many floats lie between two of them, one included.
  static func steps(from a: Float, to b: Float) -> Int {
    func place(_ x: Float) -> Int {
      let bits = Int(x.bitPattern & 0x7fff_ffff)
      return x.sign == .minus ? -bits : bits
    }
    return abs(place(a) - place(b))
  }

  /// Why plain sums of some jobs are equal nonetheless; empty where all differ.
  var lucky: String {
    rows.contains { !$0.isTree && $0.ranks > 1 && $0.differing == 0 }
      ? "\n\nWhere ranks divide the microbatches evenly into powers of two, a plain sum may happen to be the tree's."
      : ""
  }

  var table: [[String]] {
    [["gradients added", "ranks", "differ from 1 rank", "by at most", "weights after it"]]
      + rows.map { row in
        [
          row.isTree ? "in the tree" : "plain all-reduce", "\(row.ranks)",
          "\(Figures.grouped(row.differing)) of \(Figures.grouped(row.numbers))",
          row.differing == 0 ? "–" : "\(Figures.grouped(row.farthest)) last bits",
          row.ranks == 1 ? "" : row.weightsAreEqual ? "same bits" : "differ",
        ]
      }
  }
}
