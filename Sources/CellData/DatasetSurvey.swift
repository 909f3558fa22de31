import Tensors

/// What the headers of a data set's files say; nothing is decoded.
package struct DatasetSurvey: Sendable {
  /// Files alike in all but their size.
  package struct Kind: Sendable, Hashable {
    package let format: ImageInfo.Format
    package let channels: Int
    package let bitDepth: Int
  }

  package private(set) var kinds: [Kind: Int] = [:]
  /// nil where no file can be read.
  package private(set) var extents: ExtentRange?
  /// Files with more than one page, of which only the first is used.
  package private(set) var multiPage = 0
  /// In the order of the data set.
  package private(set) var bad: [BadImage] = []

  /// Opens each file once, on `threads` threads.
  package init(_ dataset: Dataset, threads: Int) {
    let whole = Monitor(Self())
    let team = ThreadTeam(count: threads)
    let members = team.count
    team.run { member in
      var part = Self()
      for sample in stride(from: member, to: dataset.samples.count, by: members) {
        part.add(sample, of: dataset)
      }
      whole.update { [part] in $0.merge(part) }
    }
    self = whole.update { $0 }
  }

  private init() {}

  private mutating func add(_ sample: Int, of dataset: Dataset) {
    do throws(ImageError) {
      let info = try ImageDecoder.info(path: dataset.path(of: sample))
      kinds[Kind(format: info.format, channels: info.channels, bitDepth: info.bitDepth), default: 0] += 1
      extents = ExtentRange.union(extents, ExtentRange(width: info.width, height: info.height))
      multiPage += info.pages > 1 ? 1 : 0
    } catch {
      bad.append(BadImage(sample: sample, error: error))
    }
  }

  private mutating func merge(_ other: Self) {
    kinds.merge(other.kinds, uniquingKeysWith: +)
    extents = ExtentRange.union(extents, other.extents)
    multiPage += other.multiPage
    bad = (bad + other.bad).sorted { $0.sample < $1.sample }
  }
}
