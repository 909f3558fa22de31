import Tensors

/// A folder, manifest or class list that can't be used.
package struct ManifestError: Error, Sendable, Equatable, CustomStringConvertible {
  package let path: String
  package let line: Int?
  package let problem: String

  package init(path: String, line: Int? = nil, problem: String) {
    self.path = path
    self.line = line
    self.problem = problem
  }

  package var description: String { path + (line.map { ", line \($0)" } ?? "") + ": " + problem }
}

/// What a sample is for.
package enum Split: String, Sendable, Codable, CaseIterable {
  case train, val, test

  /// `train`, `val`, `test` and what others call the second.
  package init?(name: String) {
    switch name {
    case "valid", "validation": self = .val
    default: self.init(rawValue: name)
    }
  }
}

/// One labelled image.
package struct Sample: Sendable, Equatable, Codable {
  /// Relative to the data folder.
  package let path: String
  /// A place in `Dataset.classes`.
  package let label: Int
  package var split: Split
  /// What the manifest says beside path, label and split, in the order of `Dataset.columns`.
  package let columns: [String]

  package init(path: String, label: Int, split: Split, columns: [String] = []) {
    self.path = path
    self.label = label
    self.split = split
    self.columns = columns
  }
}

/// The index of a data set: which images there are, what they show and what each is for. A value, so
/// that the coordinator reads it once and hands it out.
///
/// Samples are in byte order of their paths, whatever order a folder or a manifest gives them in.
package struct Dataset: Sendable, Equatable, Codable {
  package let root: String
  package let classes: [String]
  /// Names of the manifest's other columns.
  package let columns: [String]
  package private(set) var samples: [Sample]
  /// Hidden files and files that are no images by their names, left aside in class folders.
  package let ignoredFiles: Int

  package init(
    root: String, classes: [String], columns: [String] = [], samples: [Sample], ignoredFiles: Int = 0
  ) {
    self.root = root
    self.classes = classes
    self.columns = columns
    self.samples = samples.sorted { inByteOrder($0.path, $1.path) }
    self.ignoredFiles = ignoredFiles
  }

  /// The places in `samples` of the samples of a split.
  package func indices(of split: Split) -> [Int] { samples.indices.filter { samples[$0].split == split } }

  package func path(of index: Int) -> String { root + "/" + samples[index].path }

  /// How many samples each class has in a split.
  package func counts(in split: Split) -> [Int] {
    samples.reduce(into: [Int](repeating: 0, count: classes.count)) { counts, sample in
      if sample.split == split { counts[sample.label] += 1 }
    }
  }

  /// Equal for equal classes, paths, labels and splits, wherever the folder lies.
  package var fingerprint: ContentHash {
    var hasher = ContentHasher()
    for name in classes { hasher.update(name + "\0") }
    for sample in samples { hasher.update("\0\(sample.path)\0\(sample.label)\0\(sample.split.rawValue)") }
    return hasher.finish()
  }

  /// Without the samples at `left`, which the caller lists for the user.
  package func leavingOut(_ left: Set<Int>) -> Dataset {
    var copy = self
    copy.samples = samples.indices.filter { !left.contains($0) }.map { samples[$0] }
    return copy
  }

  /// Throws where a class could not be learned: no image at all, or none to train on.
  package func checkTrainable() throws(ManifestError) {
    let training = counts(in: .train)
    for (label, name) in classes.enumerated() where training[label] == 0 {
      let elsewhere = Split.allCases.filter { counts(in: $0)[label] > 0 }.map(\.rawValue)
      throw ManifestError(
        path: root,
        problem: elsewhere.isEmpty
          ? "class \(name) has no image"
          : "class \(name) has images in \(elsewhere.joined(separator: " and ")), but none in train")
    }
  }
}

/// The order of everything that is sorted here: by bytes, the same in every locale and language.
func inByteOrder(_ a: String, _ b: String) -> Bool { a.utf8.lexicographicallyPrecedes(b.utf8) }
