import Tensors
import Testing

@Suite struct FlatLayoutTests {
  private let layout = FlatLayout(
    parameters: [
      .init("conv.weight", [3, 3, 3], .weight), .init("conv.bias", [1], .bias),
      .init("norm.weight", [16], .normScale), .init("fc.weight", [10, 200], .weight),
    ],
    statistics: [
      .init("norm.running_mean", [16], .runningMean), .init("norm.running_var", [17], .runningVariance),
    ])

  @Test func arraysLieInOrderOnBordersOf64Bytes() {
    #expect(layout.parameters.map(\.offset) == [0, 32, 48, 64])
    #expect(layout.entries.map(\.name).prefix(2) == ["conv.weight", "conv.bias"])
    for entry in layout.entries { #expect(entry.offset % 16 == 0 && entry.range.count == entry.shape.count) }
    for (entry, next) in zip(layout.entries, layout.entries.dropFirst()) {
      #expect(entry.range.upperBound <= next.offset)
    }
  }

  @Test func statisticsBeginOnAChunkAndTheBufferEndsOnOne() {
    #expect(layout.parameterExtent == 3 * FlatLayout.chunk)
    #expect(layout.statistics.map(\.offset) == [3072, 3088])
    #expect(layout.extent == 4 * FlatLayout.chunk)
  }

  @Test func paddingIsNotCounted() {
    #expect(layout.parameterCount == 27 + 1 + 16 + 2000)
  }

  @Test func aNetworkWithoutStatisticsHasNoRoomForThem() {
    let bare = FlatLayout(parameters: [.init("w", [1024], .weight)], statistics: [])
    #expect(bare.parameterExtent == 1024 && bare.extent == 1024)
    #expect(FlatLayout(parameters: [], statistics: []).extent == 0)
  }

  @Test func onlyRunningValuesAreStatistics() {
    let statistics: [FlatLayout.Role] = [.runningMean, .runningVariance]
    let trained: [FlatLayout.Role] = [.weight, .bias, .normScale, .normShift]
    for role in statistics { #expect(role.isStatistic, "\(role)") }
    for role in trained { #expect(!role.isStatistic, "\(role)") }
  }
}

@Suite struct FloatBufferTests {
  @Test(arguments: [0, 1, 15, 16, 17, 100_000])
  func buffersAreZeroAndAligned(count: Int) {
    let buffer = FloatBuffer(count: count)
    #expect(UInt(bitPattern: buffer.pointer) % 64 == 0)
    #expect(buffer.values == Array(repeating: 0, count: count))
  }

  @Test func valuesComeBack() {
    let buffer = FloatBuffer([1, 2, 3])
    buffer[1] = 5
    #expect(buffer.values == [1, 5, 3] && buffer[2] == 3)
    buffer.clear()
    #expect(buffer.values == [0, 0, 0])
  }
}

@Suite struct TextTests {
  @Test func jsonTextIsEscaped() {
    #expect(JSONText.quoted("a\"b\\c\n\r\t\u{1}é€🧫/") == #""a\"b\\c\n\r\t\u0001é€🧫/""#)
    #expect(JSONText.quoted("") == "\"\"")
    #expect(JSONText.quoted("\r\n") == #""\r\n""#)
  }

  @Test func shapesPrintLikePyTorchs() {
    #expect("\(Shape([8, 32, 16]))" == "(8, 32, 16)")
    #expect(Shape([]).count == 1 && Shape([3, 0]).count == 0 && Shape([2, 3]).rank == 2)
  }
}
