import CellData
import Tensors
import Testing

struct PipelineTests {
  @Test func placesEachPixelWhereTheViewSays() {
    let image = patterned(width: 9, height: 7, channels: 3)
    let normalisation = Normalisation(mean: [0.485, 0.456, 0.406], deviation: [0.229, 0.224, 0.225])
    let pipeline = ImagePipeline(
      preparation: ImagePreparation(channels: 3, size: 5), normalisation: normalisation,
      augmentation: Augmentation(), seed: 1)
    for turns in 0..<4 {
      for mirrored in [false, true] {
        for flipped in [false, true] {
          let view = View(top: 2, left: 3, isMirrored: mirrored, isFlipped: flipped, turns: turns)
          let target = FloatBuffer(count: pipeline.floats(for: 3))
          pipeline.place(image, view, into: target.pointer, number: 1, of: 3)
          var rows = (0..<5).map { y in (0..<5).map { x in (y: y + 2, x: x + 3) } }
          if mirrored { rows = rows.map { $0.reversed() } }
          if flipped { rows.reverse() }
          for _ in 0..<turns { rows = (0..<5).map { y in (0..<5).map { x in rows[x][4 - y] } } }
          for c in 0..<3 {
            for y in 0..<5 {
              for x in 0..<5 {
                let byte = image.bytes[(rows[y][x].y * 9 + rows[y][x].x) * 3 + c]
                let expected = (Float(byte) / 255 - normalisation.mean[c]) / normalisation.deviation[c]
                #expect(target[((c * 3 + 1) * 5 + y) * 5 + x] == expected)
              }
            }
            // The neighbours in the microbatch are left alone.
            #expect((0..<25).allSatisfy { target[c * 75 + $0] == 0 && target[c * 75 + 50 + $0] == 0 })
          }
        }
      }
    }
  }

  @Test func viewsAreAddressed() {
    let all = Augmentation(quarterTurns: true)
    func view(_ augmentation: Augmentation, epoch: Int = 3, position: Int = 8, seed: UInt64 = 1) -> View {
      augmentation.view(width: 80, height: 72, size: 64, seed: seed, epoch: epoch, position: position)
    }
    #expect(view(all) == view(all))
    let views = (0..<400).map { view(all, position: $0) }
    #expect(Set(views.map(\.top)) == Set(0...8))
    #expect(Set(views.map(\.left)) == Set(0...16))
    #expect(Set(views.map { $0.top * 17 + $0.left }).count > 100, "top and left are drawn apart")
    #expect(Set(views.map(\.turns)) == Set(0...3))
    #expect(
      (150...250).contains(views.count { $0.isMirrored })
        && (150...250).contains(views.count { $0.isFlipped }))
    #expect((0..<400).map { view(all, epoch: 4, position: $0) } != views)
    #expect((0..<400).map { view(all, position: $0, seed: 2) } != views)
    // Switching one off leaves the others as they were.
    let still = Augmentation(
      randomCrop: false, horizontalFlip: true, verticalFlip: false, quarterTurns: false)
    for position in 0..<50 {
      let expected = View(top: 4, left: 8, isMirrored: views[position].isMirrored)
      #expect(view(still, position: position) == expected)
    }
  }

  @Test func centresInEvaluation() {
    #expect(View.centre(width: 73, height: 72, size: 64) == View(top: 4, left: 4))
    #expect(View.centre(width: 64, height: 64, size: 64) == View(top: 0, left: 0))
  }

  @Test func statisticsAreExactAndMerge() throws {
    let images = (0..<6).map { patterned(width: 300, height: 250, channels: 3, salt: $0 * 31) }
    var whole = ChannelStatistics(channels: 3)
    for image in images { whole.add(image) }
    var parts = [ChannelStatistics](repeating: ChannelStatistics(channels: 3), count: 2)
    for (index, image) in images.enumerated() { parts[index % 2].add(image) }
    parts[1] += parts[0]
    #expect(parts[1] == whole)
    let normalisation = try #require(whole.normalisation)
    for c in 0..<3 {
      let values = images.flatMap { image in
        stride(from: c, to: image.bytes.count, by: 3).map { Double(image.bytes[$0]) / 255 }
      }
      let mean = values.reduce(0, +) / Double(values.count)
      let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count)
      #expect(abs(Double(normalisation.mean[c]) - mean) < 1e-7)
      #expect(abs(Double(normalisation.deviation[c]) - variance.squareRoot()) < 1e-7)
    }
    #expect(ChannelStatistics(channels: 1).normalisation == nil)
    var flat = ChannelStatistics(channels: 1)
    flat.add(PixelImage(width: 2, height: 1, channels: 1, bytes: [51, 51]))
    #expect(flat.normalisation == Normalisation(mean: [0.2], deviation: [1 / 255]))
  }

  @Test func preparesChannelsAndSize() throws {
    let preparation = ImagePreparation(channels: 3, size: 16)
    #expect(preparation.shorterSide == 18)
    let folder = try TemporaryFolder()
    try folder.write(patterned(width: 40, height: 30, channels: 1).png(), to: "a.png")
    let dataset = Dataset(
      root: folder.path, classes: ["x"], samples: [Sample(path: "a.png", label: 0, split: .train)])
    let image = try FolderSource(dataset: dataset, preparation: preparation).load(0)
    #expect([image.width, image.height, image.channels] == [24, 18, 3])
    let grey = try FolderSource(dataset: dataset, preparation: ImagePreparation(channels: 1, size: 16)).load(
      0)
    #expect(grey.bytes.flatMap { [$0, $0, $0] } == image.bytes)
  }

  @Test func refusesColoursForAGreyNetworkAndSlivers() throws {
    let folder = try TemporaryFolder()
    try folder.write(patterned(width: 40, height: 30, channels: 3).png(), to: "a.png")
    try folder.write(patterned(width: 5000, height: 1, channels: 1).png(), to: "b.png")
    let samples = ["a.png", "b.png"].map { Sample(path: $0, label: 0, split: .train) }
    let source = FolderSource(
      dataset: Dataset(root: folder.path, classes: ["x"], samples: samples),
      preparation: ImagePreparation(channels: 1, size: 64, pixelLimit: 10_000_000))
    #expect(throws: ImageError(path: "a.png", problem: "3 channels can't become the configured 1")) {
      try source.load(0)
    }
    #expect(
      throws: ImageError(
        path: "b.png",
        problem: "5000 x 1 pixels would be resized to 360000 x 72, more than the limit of 10000000")
    ) { try source.load(1) }
  }

  @Test func cachesUpToItsBudget() throws {
    let source = PatternSource(count: 5, side: 10)
    let cache = ImageCache(source, budgetBytes: 3 * 300 + 299)
    for _ in 0..<2 {
      for index in 0..<5 { #expect(try cache.load(index) == source.load(index)) }
    }
    #expect(cache.counts == ImageCache.Counts(loaded: 7, reused: 3))
    #expect(cache.bytes == 900)
  }
}

/// Images that need no files; those in `bad` can't be loaded.
struct PatternSource: ImageSource {
  let count: Int
  let side: Int
  var bad: Set<Int> = []

  func load(_ index: Int) throws(ImageError) -> PixelImage {
    if bad.contains(index) { throw ImageError(path: "\(index)", problem: "is bad") }
    return patterned(width: side, height: side, channels: 3, salt: index * 17)
  }
}
