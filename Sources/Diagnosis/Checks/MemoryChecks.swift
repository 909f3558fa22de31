import Collectives

extension CheckGroup {
  /// Memory, its pages, and what the system lets a process have.
  static let memory = CheckGroup(
    name: "memory",
    checks: [
      Check("free") { facts in
        facts.nodeLeaders.flatMap { leader -> [Outcome] in
          let ranks = facts.places[leader].localSize
          let limits = facts.ranks[leader].memory
          guard let tightest = limits.min(by: { $0.bytes < $1.bytes }) else { return [] }
          let each = tightest.bytes / ranks
          let who = tightest.group.map { "control group \($0.isEmpty ? "/" : $0)" } ?? "the node"
          let found =
            "\(facts.host(leader)): \(who) has \(gigabytes(tightest.bytes)) left, \(gigabytes(each)) a rank"
          // A seed CNN takes 0.2 GB, ResNet-18 at 64 × 64 0.4.
          if each < 100 << 20 {
            return [.failure(found, fix: "a larger limit (sbatch --mem), or fewer ranks a node")]
          }
          if each < 512 << 20 {
            return [
              .warning(
                found, fix: "a larger limit, fewer ranks a node, or training.activation_checkpointing: blocks"
              )
            ]
          }
          return [.ok(found)]
        }
      },
      Check("limits") { facts in
        let small = facts.groups { facts.ranks[$0].addressSpace.map { $0 < 4 << 30 ? $0 : nil } ?? nil }
        let few = facts.groups { facts.ranks[$0].openFiles.map { $0 < 256 ? $0 : nil } ?? nil }
        let problems =
          small.compactMap { group in
            group.key.map {
              Outcome.failure(
                "\(facts.name(of: group.ranks)): address space of \(gigabytes($0)) (ulimit -v)",
                fix: "ulimit -v unlimited: data sets are mapped, and sums of other ranks")
            }
          }
          + few.compactMap { group in
            group.key.map {
              Outcome.warning(
                "\(facts.name(of: group.ranks)): \($0) open files (ulimit -n)",
                fix: "ulimit -n 1024: each rank on a node and each link over TCP takes some")
            }
          }
        return problems.isEmpty
          ? [.ok("no limit on address space or open files stands in the way")] : problems
      },
      Check("sharing") { facts in
        facts.sharesMemory.map { shares in
          shares
            ? [.ok("ranks of a node map each other's sums")]
            : [
              .warning(
                "ranks of a node can't share memory: they exchange by messages, which is slower",
                fix:
                  "one container for all ranks of a node, or one process namespace (shareProcessNamespace, "
                  + "--pid=host), and the same user")
            ]
        } ?? []
      },
      Check("huge pages") { facts in
        facts.nodeLeaders.compactMap { rank in
          guard let word = facts.ranks[rank].hugePages else { return nil }
          let found = "\(facts.host(rank)): transparent huge pages: \(word)"
          // Weights and activations are large arrays that are walked through in each step.
          return word == "never"
            ? .warning(found, fix: "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled (as root)")
            : .ok(found)
        }
      },
    ])

  static func gigabytes(_ bytes: Int) -> String { "\((Double(bytes) / 1e8).rounded() / 10) GB" }
}
