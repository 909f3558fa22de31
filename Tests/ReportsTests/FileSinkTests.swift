import Foundation
import Reports
import Tensors
import Testing
import Training

@Suite final class FileSinkTests {
  private let folder: String

  init() throws {
    folder =
      FileManager.default.temporaryDirectory.appendingPathComponent("cnn-dist-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: folder) }

  private func lines(_ name: String) throws -> [String] {
    let text = try String(contentsOfFile: "\(folder)/\(name)", encoding: .utf8)
    #expect(text.hasSuffix("\n"))
    return text.split(separator: "\n").map(String.init)
  }

  /// A run of three epochs, from `firstStep` to before `end`.
  private func events(from firstStep: Int, to end: Int) throws -> [RunEvent] {
    var events: [RunEvent] = [.started(try Samples.run(firstStep: firstStep))]
    for step in firstStep..<end {
      events.append(.step(try Samples.step(step, loss: Double(step))))
      if step % 4 == 3 {
        events.append(.epoch(try Samples.epoch(step / 4)))
        events.append(.checkpoint(path: "c/\(step + 1)", step: step + 1, isBest: false))
      }
    }
    return events
  }

  private func object(_ line: String) throws -> [String: Any] {
    try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
  }

  @Test func everyMetricsLineIsAnObjectWithSnakeCaseKeys() throws {
    let sink = JSONLinesSink(path: "\(folder)/metrics.jsonl", stepsBetweenLines: 3)
    for event in try events(from: 0, to: 4) { sink.receive(event) }
    sink.receive(.warning("a \"b\""))
    sink.receive(.notice("not for machines"))
    sink.receive(.finished(try Samples.summary()))
    let lines = try lines("metrics.jsonl")
    let objects = try lines.map(object)
    #expect(lines.allSatisfy { $0.hasPrefix("{\"event\":\"") })
    #expect(
      objects.compactMap { $0["event"] as? String } == [
        "start", "step", "epoch", "checkpoint", "warning", "end",
      ])
    #expect(
      objects[0]["training_images"] as? Int == 200 && objects[0]["classes"] as? [String] == ["cat", "dog"])
    #expect(objects[1]["step"] as? Int == 2 && objects[1]["images_per_second"] as? Double == 50)
    let validation = try #require(objects[2]["validation"] as? [String: Any])
    #expect(validation["balanced_accuracy"] as? Double == 0.75)
    #expect(objects[3]["is_best"] as? Bool == false)
    #expect(objects[4]["text"] as? String == "a \"b\"")
    #expect(objects[5]["images_by_rank"] as? [Int] == [1500, 300])
  }

  /// A resumed run that fell back to an older checkpoint says so before it starts.
  @Test func whatIsSaidBeforeTheStartIsKept() throws {
    let sink = JSONLinesSink(path: "\(folder)/metrics.jsonl", stepsBetweenLines: 1)
    sink.receive(.warning("fell back"))
    sink.receive(.started(try Samples.run(firstStep: 4)))
    #expect(
      try lines("metrics.jsonl").map { String($0.prefix(16)) } == [
        "{\"event\":\"warnin", "{\"event\":\"start\"",
      ])
  }

  @Test func lossesThatAreNoNumbersAreText() throws {
    let sink = JSONLinesSink(path: "\(folder)/metrics.jsonl", stepsBetweenLines: 1)
    sink.receive(.started(try Samples.run()))
    var step = try Samples.step(0)
    step.loss = .nan
    sink.receive(.step(step))
    #expect(try object(lines("metrics.jsonl")[1])["loss"] as? String == "nan")
  }

  /// Stopped after six steps, gone on from the checkpoint after four: the file of a run that never stopped,
  /// but for the second start.
  @Test func aResumedRunForgetsWhatCameAfterItsCheckpoint() throws {
    let whole = JSONLinesSink(path: "\(folder)/whole", stepsBetweenLines: 1)
    for event in try events(from: 0, to: 12) { whole.receive(event) }
    let stopped = JSONLinesSink(path: "\(folder)/parts", stepsBetweenLines: 1)
    for event in try events(from: 0, to: 6) { stopped.receive(event) }
    let handle = try #require(FileHandle(forWritingAtPath: "\(folder)/parts"))
    try handle.seekToEnd()
    try handle.write(contentsOf: Data("{\"event\":\"step\",\"st".utf8))
    try handle.close()
    let resumed = JSONLinesSink(path: "\(folder)/parts", stepsBetweenLines: 1)
    for event in try events(from: 4, to: 12) { resumed.receive(event) }
    let parts = try lines("parts")
    #expect(parts.filter { $0.contains("\"first_step\":4") }.count == 1)
    #expect(try parts.filter { !$0.contains("\"first_step\":4") } == lines("whole"))
  }

  @Test func theLogHasATimeBeforeEachLine() throws {
    let path = "\(folder)/log.txt"
    let sink = try LogFileSink(
      path: path, stepsBetweenLines: 2, time: { Date(timeIntervalSince1970: 86_400) })
    for event in try events(from: 0, to: 4) { sink.receive(event) }
    sink.receive(.warning("careful"))
    sink.receive(.finished(try Samples.summary()))
    let lines = try lines("log.txt")
    #expect(lines.allSatisfy { $0.hasPrefix("1970-01-02T00:00:00Z") })
    let texts = lines.map { String($0.dropFirst(21)) }
    #expect(texts.filter { $0.contains(" step ") && $0.contains("learning rate 0.001") }.count == 2)
    #expect(texts.contains("checkpoint after step 4: c/4") && texts.contains("warning: careful"))
    #expect(texts.contains("images computed by rank: 1,500 + 300"))
    #expect(texts.last == "saved in runs/a")
    let again = try LogFileSink(path: path, stepsBetweenLines: 2)
    again.receive(.notice("more"))
    #expect(try self.lines("log.txt").count == lines.count + 1)
  }

  @Test func aFullDiskIsComplainedAboutOnce() throws {
    var complaints: [String] = []
    let file = try LineFile(path: "/dev/full") { complaints.append($0.description) }
    file.append("a")
    file.append("b")
    #expect(complaints == ["/dev/full: can't write: No space left on device"])
  }

  @Test func aFileThatCantBeOpenedIsNamed() throws {
    let error = #expect(throws: FileError.self) {
      try LogFileSink(path: "/nowhere/log.txt", stepsBetweenLines: 1)
    }
    #expect(error?.description == "/nowhere/log.txt: can't open: No such file or directory")
    var complaints: [String] = []
    let metrics = JSONLinesSink(path: "/nowhere/m", stepsBetweenLines: 1) {
      complaints.append($0.description)
    }
    metrics.receive(.started(try Samples.run()))
    metrics.receive(.warning("lost"))
    #expect(complaints == ["/nowhere/m: can't open: No such file or directory"])
  }
}
