import Collectives
import Foundation
import Tensors

/// The spans of all ranks as one file that Chrome (chrome://tracing) and Perfetto (ui.perfetto.dev) show:
/// a process for each rank, in it a thread for the rank's phases and one for each lane, all on rank 0's clock.
struct TraceFile {
  let path: String
  private let communicator: Communicator
  private let atStart: ClockAlignment.Reading

  /// Compares clocks. Throws where rank 0 can't write `path`. Collective.
  init(_ path: String, communicator: Communicator) throws {
    self.path = path
    self.communicator = communicator
    try communicator.together {
      guard communicator.rank == 0 else { return }
      try DurableFile.write([], to: path, waitingForDisk: false)
    }
    atStart = try ClockAlignment.read(communicator)
  }

  private struct RankSpans: Codable {
    var host: String
    var tracks: [[[Double]]]
    var lost: Int
  }

  /// Collects the spans and writes them on rank 0. Collective.
  func write(_ timeline: Timeline, host: String) throws {
    let clock = ClockAlignment(start: atStart, end: try ClockAlignment.read(communicator))
    let tracks = [timeline.rank] + timeline.lanes
    let mine = RankSpans(
      host: host,
      tracks: tracks.map { track in
        track.spans.map {
          [Double($0.phase.rawValue), Double($0.step), clock.aligned($0.start), clock.aligned($0.end)]
        }
      }, lost: tracks.reduce(0) { $0 + $1.lost })
    let encoded = Array(try JSONEncoder().encode(mine))
    let gathered = try communicator.gather(encoded)
    try communicator.together {
      guard let gathered else { return }
      let ranks = try gathered.map { try JSONDecoder().decode(RankSpans.self, from: Foundation.Data($0)) }
      try DurableFile.replace(path, with: Array(Self.text(ranks).utf8))
    }
  }

  /// The trace event format's JSON object; times in microseconds from the first span.
  private static func text(_ ranks: [RankSpans]) -> String {
    let first = ranks.flatMap { $0.tracks.compactMap { $0.first?[2] } }.min() ?? 0
    var events: [String] = []
    for (rank, spans) in ranks.enumerated() {
      func name(_ kind: String, _ track: Int, _ text: String) {
        events.append(
          #"{"ph":"M","name":"\#(kind)","pid":\#(rank),"tid":\#(track),"args":{"name":\#(JSONText.quoted(text))}}"#
        )
      }
      name("process_name", 0, "rank \(rank) (\(spans.host))")
      for (track, entries) in spans.tracks.enumerated() {
        name("thread_name", track, track == 0 ? "rank" : "lane \(track - 1)")
        for entry in entries {
          let phase = Phase(rawValue: UInt8(entry[0])) ?? .wait
          let times = [entry[2] - first, entry[3] - entry[2]].map { String(format: "%.3f", $0 * 1e6) }
          events.append(
            #"{"ph":"X","name":"\#(phase.name)","pid":\#(rank),"tid":\#(track),"ts":\#(times[0]),"#
              + #""dur":\#(times[1]),"args":{"step":\#(Int(entry[1]))}}"#)
        }
      }
    }
    let lost = ranks.map { "\($0.lost)" }.joined(separator: ",")
    return #"{"displayTimeUnit":"ms","otherData":{"spans_lost_by_rank":[\#(lost)]},"traceEvents":["#
      + "\n" + events.joined(separator: ",\n") + "\n]}\n"
  }
}
