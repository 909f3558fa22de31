import Tensors

/// The one pass over a data set before it is used: opens each file once, says which can't be used and why,
/// and gathers the statistics of the training images. Ranks share it out by ranges of samples.
package struct DataCheck: Sendable {
  package enum Level: String, Sendable, Codable, CaseIterable {
    /// Decodes every image.
    case full
    /// Reads the headers alone: finds files that are no images, but not those that end early.
    case headers
    case off
  }

  package let dataset: Dataset
  package let preparation: ImagePreparation
  package let level: Level

  package init(dataset: Dataset, preparation: ImagePreparation, level: Level) {
    self.dataset = dataset
    self.preparation = preparation
    self.level = level
  }

  /// The range of samples that share `number` of `shares` looks at.
  package func range(of number: Int, of shares: Int) -> Range<Int> {
    precondition(shares > 0 && (0..<shares).contains(number), "share \(number) of \(shares)")
    let count = dataset.samples.count
    return (count * number / shares)..<(count * (number + 1) / shares)
  }

  /// Checks a range of samples on `threads` threads. `keep` gets each decoded and prepared image, on any of
  /// the threads.
  package func check(
    _ range: Range<Int>, threads: Int = 1, keep: (@Sendable (Int, PixelImage) -> Void)? = nil
  ) -> CheckPart {
    let empty = CheckPart(channels: preparation.channels)
    guard level != .off, !range.isEmpty else { return empty }
    let progress = Monitor((next: range.lowerBound, whole: empty))
    let block = 16
    ThreadTeam(count: threads).run { _ in
      var part = CheckPart(channels: preparation.channels)
      while true {
        let start = progress.update { progress in
          defer { progress.next += block }
          return progress.next
        }
        guard start < range.upperBound else { break }
        for sample in start..<min(start + block, range.upperBound) { check(sample, into: &part, keep: keep) }
      }
      progress.update { [part] in $0.whole.merge(part) }
    }
    return progress.update { $0.whole }
  }

  private func check(_ sample: Int, into part: inout CheckPart, keep: (@Sendable (Int, PixelImage) -> Void)?)
  {
    part.checked += 1
    do {
      let file = dataset.path(of: sample)
      let info: ImageInfo?
      switch level {
      case .full:
        let bytes = try ImageFile.read(file)
        info = try self.info(of: bytes, sample)
        let image = try prepared(bytes, sample)
        if dataset.samples[sample].split == .train { part.statistics.add(image) }
        keep?(sample, image)
      default:
        info = try ImageFile.read(file, first: 1 << 16) { bytes, isWhole throws(ImageError) in
          let info = try self.info(of: bytes, sample)
          // The pages of a TIFF lie anywhere in the file.
          return isWhole || info.format != .tiff ? info : nil
        }
      }
      guard let info else { return }
      part.conversions += try preparation.conversion(from: info.channels, named: file).counts
      part.multiPage += info.pages > 1 ? 1 : 0
      part.extents = ExtentRange.union(part.extents, ExtentRange(width: info.width, height: info.height))
    } catch {
      // Errors name the file as the data set does.
      part.bad.append(
        BadImage(
          sample: sample, error: ImageError(path: dataset.samples[sample].path, problem: error.problem)))
    }
  }

  /// What the headers say, if that can be used.
  private func info(of bytes: [UInt8], _ sample: Int) throws(ImageError) -> ImageInfo {
    let path = dataset.samples[sample].path
    let info = try ImageDecoder.info(of: bytes, named: path, pixelLimit: preparation.pixelLimit)
    try ImageDecoder.refuseDepth(info.bitDepth, named: path)
    _ = try preparation.conversion(from: info.channels, named: path)
    _ = try preparation.extent(width: info.width, height: info.height, named: path)
    return info
  }

  private func prepared(_ bytes: [UInt8], _ sample: Int) throws(ImageError) -> PixelImage {
    let path = dataset.samples[sample].path
    let image = try ImageDecoder.decode(bytes: bytes, named: path, pixelLimit: preparation.pixelLimit)
    return try preparation.apply(to: image, named: path)
  }
}

extension ChannelStatistics {
  /// The statistics of some images of any source, the synthetic one, say; `keep` as in `DataCheck.check`.
  package static func gather(
    _ source: any ImageSource, images: [Int], channels: Int, threads: Int = 1
  ) throws(ImageError) -> ChannelStatistics {
    let empty = ChannelStatistics(channels: channels)
    let whole = Monitor((statistics: empty, firstError: (index: Int, error: ImageError)?.none))
    let team = ThreadTeam(count: threads)
    let members = team.count
    team.run { member in
      var part = empty
      for index in stride(from: member, to: images.count, by: members) {
        do {
          part.add(try source.load(images[index]))
        } catch let error as ImageError {
          whole.update { if index < $0.firstError?.index ?? .max { $0.firstError = (index, error) } }
          break
        } catch { preconditionFailure("image sources throw ImageError, got \(error)") }
      }
      whole.update { [part] in $0.statistics += part }
    }
    let result = whole.update { $0 }
    if let failure = result.firstError { throw failure.error }
    return result.statistics
  }
}
