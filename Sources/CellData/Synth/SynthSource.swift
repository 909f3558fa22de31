extension SyntheticCells {
  /// The index of the first `count` cells, with a path of its own for each though there is no file. Split
  /// as the folder is that `SynthWriter` makes of them.
  package func dataset(count: Int, rule: SplitRule) -> Dataset {
    let names = (0..<count).map { "synthetic/" + Self.padded($0, digits: max(6, Self.digits(count))) }
    let splits = splits(count: count, rule: rule)
    return Dataset(
      root: ".", classes: kindNames,
      samples: names.indices.map { Sample(path: names[$0], label: label($0), split: splits[$0]) })
  }

  /// The split of each of the first `count` cells, kind by kind.
  func splits(count: Int, rule: SplitRule) -> [Split] {
    var splits = [Split](repeating: .train, count: count)
    for label in kinds.indices {
      let members = Array(stride(from: label, to: count, by: kinds.count))
      for (index, split) in zip(members, rule.assign(count: members.count, label: label)) {
        splits[index] = split
      }
    }
    return splits
  }

  /// Decimal digits of the numbers below `count`.
  static func digits(_ count: Int) -> Int { String(max(count - 1, 0)).utf8.count }

  /// `number` with zeros before it, so that the order of bytes is that of numbers.
  static func padded(_ number: Int, digits: Int) -> String {
    let text = String(number)
    return String(repeating: "0", count: max(0, digits - text.utf8.count)) + text
  }
}

/// Cells drawn when they are asked for, in the form in which images of files are kept.
package struct SynthSource: ImageSource {
  package let cells: SyntheticCells
  package let count: Int
  private let preparation: ImagePreparation

  /// Cells as large as `preparation` makes images, so that a crop sees what it would see of a file.
  package init(seed: UInt64, count: Int, kinds: Int, preparation: ImagePreparation) {
    precondition(count > 0, "a data set expects at least one image, not \(count)")
    cells = SyntheticCells(
      seed: seed, size: max(preparation.shorterSide, SyntheticCells.smallestSize),
      channels: preparation.channels, kinds: kinds)
    self.count = count
    self.preparation = preparation
  }

  /// The index of its images.
  package func dataset(rule: SplitRule) -> Dataset { cells.dataset(count: count, rule: rule) }

  package func load(_ index: Int) throws(ImageError) -> PixelImage {
    let image = cells.image(index)
    if image.width == preparation.shorterSide { return image }
    return try preparation.apply(to: image, named: "synthetic cell \(index)")
  }
}
