import Collectives
import Tensors

/// A forecast's steps as SimGrid's time-independent trace: what each rank computes and sends, in its order, and none
/// of the times that a network would make of it. `smpirun -replay` finds those by its own means: every rank has its
/// own clock, every link of a fat tree is shared by the messages that cross it at the same time.
package struct SimGridTrace {
  private let job: ForecastJob
  private let schedule: ExchangeSchedule
  private let events: [StepWalk.Event]
  /// Floats by bucket and rank.
  private let pieces: [[Int]]
  /// What the closed form says that these steps take, until nothing is on its way.
  package let walkSeconds: Double

  /// Hosts below a switch of the lowest level.
  private static let hostsPerSwitch = 32
  /// Seconds of computing are so many operations: hosts do as many in a second.
  private static let operationsPerSecond = 1e9

  package init(_ job: ForecastJob, steps: Int) {
    self.job = job
    let schedule = job.schedule
    self.schedule = schedule
    var walk = StepWalk(job.costs(schedule: schedule), keepsEvents: true)
    for _ in 0..<steps { walk.step() }
    walk.settle()
    events = walk.events
    walkSeconds = walk.now
    let buckets = job.buckets
    pieces = (0..<buckets.count).map { bucket in
      (0..<job.ranks).map { buckets.piece(bucket, of: $0).count }
    }
  }

  /// The nodes as leaves of a fat tree with as much bandwidth above as below: one switch, or two levels of them.
  /// A message crosses four links at most, which share the latency.
  package var platform: String {
    let most = Self.hostsPerSwitch
    let switches = (job.nodes + most - 1) / most
    let shape = switches == 1 ? "1;\(job.nodes);1;1" : "2;\(most),\(switches);1,\(most);1,1"
    let hosts = switches == 1 ? job.nodes : most * switches
    let latency = job.network.latencySeconds / (switches == 1 ? 2 : 4)
    return """
      <?xml version='1.0'?>
      <!DOCTYPE platform SYSTEM "https://simgrid.org/simgrid.dtd">
      <platform version="4.1">
        <cluster id="cluster" prefix="node" suffix="" radical="0-\(hosts - 1)" speed="\(Self.operationsPerSecond)f" \
      core="\(job.ranksPerNode)" bw="\(job.network.bytesPerSecond)Bps" lat="\(latency)s" topology="FAT_TREE" \
      topo_parameters="\(shape)" sharing_policy="SPLITDUPLEX"/>
      </platform>

      """
  }

  /// By rank: where it runs.
  package var hosts: String {
    (0..<job.ranks).map { "node\($0 / job.ranksPerNode)\n" }.joined()
  }

  /// A message of a rank: the other rank and the bytes.
  private struct Packet {
    let peer: Int
    let bytes: Int
  }

  /// What a rank does.
  package func actions(of rank: Int) -> String {
    let (node, place) = (rank / job.ranksPerNode, rank % job.ranksPerNode)
    let rounds = schedule.messages(of: node)
    func packets(_ messages: [ExchangeSchedule.Message], _ bucket: Int, values: Bool) -> [Packet] {
      // What goes to the same rank in a round is one message.
      var packets: [Packet] = []
      for message in messages {
        let floats = message.owners.reduce(0) { $0 + pieces[bucket][$1 * job.ranksPerNode + place] }
        guard floats > 0 else { continue }
        let peer = message.peer * job.ranksPerNode + place
        var bytes = 4 * floats * (values ? 1 : message.nodes.count)
        if let last = packets.last, last.peer == peer { bytes += packets.removeLast().bytes }
        packets.append(Packet(peer: peer, bytes: bytes))
      }
      return packets
    }
    var text = "\(rank) init\n"
    var step = 0
    var turn = Array(repeating: 0, count: pieces.count)
    for event in events {
      switch event {
      case .step: step += 1
      case .compute(let seconds): text += "\(rank) compute \(seconds * Self.operationsPerSecond)\n"
      case .post(let bucket, let round, let values), .await(let bucket, let round, let values):
        // Values go back the ways of the sums.
        let way = rounds[values ? schedule.rounds - 1 - round : round]
        var isPost = false
        if case .post = event { isPost = true }
        // A turn of a bucket begins with its first sums.
        if isPost, round == 0, !values { turn[bucket] += 1 }
        let tag = ((turn[bucket] * pieces.count + bucket) * schedule.rounds + round) * 2 + (values ? 1 : 0)
        let receives = packets(values ? way.sends : way.receives, bucket, values: values)
        if isPost {
          for packet in receives { text += "\(rank) irecv \(packet.peer) \(tag) \(packet.bytes)\n" }
          for packet in packets(values ? way.receives : way.sends, bucket, values: values) {
            text += "\(rank) isend \(packet.peer) \(tag) \(packet.bytes)\n"
          }
        } else {
          for packet in receives { text += "\(rank) wait \(packet.peer) \(rank) \(tag)\n" }
        }
      }
    }
    return text + "\(rank) waitall\n\(rank) finalize\n"
  }

  /// Writes platform, hosts and a file for each rank into a folder; the words behind `smpirun` that replay them.
  package func write(to folder: String) throws(FileError) -> [String] {
    var list = ""
    for rank in 0..<job.ranks {
      let path = "\(folder)/rank\(rank).txt"
      try DurableFile.write(Array(actions(of: rank).utf8), to: path, waitingForDisk: false)
      list += path + "\n"
    }
    for (name, text) in [("platform.xml", platform), ("hosts.txt", hosts), ("ranks.txt", list)] {
      try DurableFile.write(Array(text.utf8), to: "\(folder)/\(name)", waitingForDisk: false)
    }
    return [
      "-np", "\(job.ranks)", "-platform", "\(folder)/platform.xml", "-hostfile", "\(folder)/hosts.txt",
      "-replay", "\(folder)/ranks.txt",
      // What the trace says of computing and sending is all there is; links are shared fairly, as TCP does in the long run.
      "--cfg=network/model:CM02", "--cfg=network/TCP-gamma:0", "--cfg=network/crosstraffic:no",
      "--cfg=smpi/os:0:0:0", "--cfg=smpi/or:0:0:0", "--cfg=smpi/ois:0:0:0",
    ]
  }

  /// The simulated seconds in what smpirun printed; nil where it doesn't say.
  package static func seconds(in output: String) -> Double? {
    output.split(separator: "\n").compactMap { line -> Double? in
      guard let found = line.range(of: "Simulation time ") else { return nil }
      return Double(line[found.upperBound...].prefix { $0.isNumber || $0 == "." || $0 == "e" || $0 == "-" })
    }.last
  }
}

extension Substring {
  /// The place of `text`, or nil.
  fileprivate func range(of text: String) -> Range<Substring.Index>? {
    var start = startIndex
    while start < endIndex {
      if self[start...].hasPrefix(text) { return start..<index(start, offsetBy: text.count) }
      start = index(after: start)
    }
    return nil
  }
}
