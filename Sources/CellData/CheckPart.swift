/// A sample whose file can't be used.
package struct BadImage: Sendable, Equatable, Codable {
  /// Its place in the data set.
  package let sample: Int
  package let error: ImageError
}

/// The smallest and largest sides of the images of a data set.
package struct ExtentRange: Sendable, Equatable, Codable {
  package private(set) var width: ClosedRange<Int>
  package private(set) var height: ClosedRange<Int>

  init(width: Int, height: Int) {
    self.width = width...width
    self.height = height...height
  }

  static func union(_ a: Self?, _ b: Self?) -> Self? {
    guard var range = a, let b else { return a ?? b }
    range.width =
      min(range.width.lowerBound, b.width.lowerBound)...max(range.width.upperBound, b.width.upperBound)
    range.height =
      min(range.height.lowerBound, b.height.lowerBound)...max(range.height.upperBound, b.height.upperBound)
    return range
  }
}

/// What was found in some of the images. Parts of different ranks and threads are merged in any order to
/// the same whole.
package struct CheckPart: Sendable, Equatable, Codable {
  package internal(set) var checked = 0
  /// In the order of the data set.
  package internal(set) var bad: [BadImage] = []
  package internal(set) var conversions = ConversionCounts()
  /// Files with more than one page, of which only the first is used.
  package internal(set) var multiPage = 0
  /// As stored in the files.
  package internal(set) var extents: ExtentRange?
  /// Over the resized images of the training split; no pixels unless they were decoded.
  package internal(set) var statistics: ChannelStatistics

  package init(channels: Int) { statistics = ChannelStatistics(channels: channels) }

  package mutating func merge(_ other: CheckPart) {
    checked += other.checked
    bad = (bad + other.bad).sorted { $0.sample < $1.sample }
    conversions += other.conversions
    multiPage += other.multiPage
    extents = ExtentRange.union(extents, other.extents)
    statistics += other.statistics
  }

  /// The data set to train on: all of it, or what is left without the bad images.
  package func apply(_ policy: BadImagePolicy, to dataset: Dataset) throws(BadImagesError) -> Dataset {
    if bad.isEmpty { return dataset }
    guard policy == .skip else {
      throw BadImagesError(root: dataset.root, count: dataset.samples.count, errors: bad.map(\.error))
    }
    return dataset.leavingOut(Set(bad.map(\.sample)))
  }
}

/// What happens when images can't be used.
package enum BadImagePolicy: String, Sendable, Codable, CaseIterable {
  /// Nothing starts; all of them are listed.
  case stop
  /// They are left out, and listed in the run.
  case skip
}

/// Images that can't be used, all of them.
package struct BadImagesError: Error, Sendable, CustomStringConvertible {
  package let root: String
  package let count: Int
  package let errors: [ImageError]

  /// `root` is what the images are part of; `count` how many there are in all.
  package init(root: String, count: Int, errors: [ImageError]) {
    self.root = root
    self.count = count
    self.errors = errors
  }

  package var description: String {
    if errors.count == 1 { return "\(errors[0])" }
    return "\(root): \(errors.count) of \(count) images can't be used:\n"
      + errors.map { "  \($0)" }.joined(separator: "\n")
  }
}
