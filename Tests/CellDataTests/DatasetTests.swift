import CellData
import Foundation
import Testing

struct DatasetTests {
  @Test func readsAManifest() throws {
    let folder = try TemporaryFolder()
    try folder.write(
      "\u{feff}label,path,note,split\r\n"
        + "mono,b.png,plain,train\r\n"
        + "lympho,\"a, \"\"x\"\".png\",\"two\nlines\",validation\r\n"
        + "\r\n"
        + "lympho,./sub/../c.png,,test\r\n"
        + "lympho,d.png,last,train",
      to: "manifest.csv")
    let dataset = try Dataset.load(path: folder.path)
    #expect(dataset.classes == ["lympho", "mono"])
    #expect(dataset.columns == ["note"])
    #expect(
      dataset.samples == [
        Sample(path: "a, \"x\".png", label: 0, split: .val, columns: ["two\nlines"]),
        Sample(path: "b.png", label: 1, split: .train, columns: ["plain"]),
        Sample(path: "c.png", label: 0, split: .test, columns: [""]),
        Sample(path: "d.png", label: 0, split: .train, columns: ["last"]),
      ])
    #expect(dataset.path(of: 2) == folder.path + "/c.png")
    #expect(try Dataset.load(path: folder.path + "/manifest.csv") == dataset)
    #expect(try JSONDecoder().decode(Dataset.self, from: JSONEncoder().encode(dataset)) == dataset)
  }

  @Test func configuredClassesGiveTheOrder() throws {
    let folder = try TemporaryFolder()
    try folder.write("path,label,split\na,x,train\nb,y,train\n", to: "manifest.csv")
    let dataset = try Dataset.load(path: folder.path, classes: ["y", "x"])
    #expect(dataset.samples.map(\.label) == [1, 0])
  }

  @Test(arguments: [
    ("path,label,split\na,x,train\nb,z,train\n", 3, "label z is none of the classes x, y"),
    ("path,label,split\na,x,train\n../b,y,train\n", 3, "../b leaves the data folder"),
    ("path,label,split\na,x,train\ns/../../b,y,train\n", 3, "s/../../b leaves the data folder"),
    ("path,label,split\n/etc/passwd,x,train\n", 2, "/etc/passwd leaves the data folder"),
    ("path,label,split\na,x,train\nb,y,train\n./a,x,test\n", 4, "a is already in line 2"),
    ("path,label,split\na,x,training\n", 2, "expects the split train, val or test, got \"training\""),
    ("path,label,split\n\"a\nb\",x,train\nc,x\n", 4, "expects 3 fields as in the header, got 2"),
    ("path,label,split\n,x,train\n", 2, "the path is empty"),
    ("path,label,split\na,,train\n", 2, "the label is empty"),
    ("path,label,split\na,\"x,train\nb,y,train\n", 2, "a quoted field does not end"),
    ("path,label,split\na,\"x\"y,train\n", 2, "expects a comma after a quoted field"),
    ("path,label,split\na\0b,x,train\n", 2, "holds a zero byte"),
    (
      "path,class\na,x\n", 1,
      "expects a header with the columns path, label and, optionally, split, got path,class"
    ),
    ("path,label,label\na,x,y\n", 1, "two columns are named \"label\""),
    ("", nil, "the manifest is empty"),
    ("\n\n", nil, "the manifest is empty"),
    ("path,label\n", nil, "the manifest has no rows"),
  ])
  func manifestErrorsNameTheLine(_ text: String, _ line: Int?, _ problem: String) throws {
    let folder = try TemporaryFolder()
    let path = try folder.write(text, to: "manifest.csv")
    #expect(throws: ManifestError(path: path, line: line, problem: problem)) {
      try Dataset.load(path: folder.path, classes: ["x", "y"])
    }
  }

  @Test func manifestsAreUTF8() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write(Array("path,label\na,".utf8) + [0xff, 0xfe], to: "manifest.csv")
    #expect(throws: ManifestError(path: path, line: 2, problem: "is not UTF-8 text")) {
      try Dataset.load(path: path)
    }
  }

  @Test func errorsReadAsOneLine() {
    #expect(
      "\(ManifestError(path: "a/manifest.csv", line: 17, problem: "bad"))" == "a/manifest.csv, line 17: bad")
    #expect("\(ManifestError(path: "a", problem: "bad"))" == "a: bad")
  }

  @Test func refusesDataThatAreNotThere() throws {
    let folder = try TemporaryFolder()
    #expect(
      throws: ManifestError(
        path: folder.path + "/no", problem: "can't open the data: No such file or directory")
    ) { try Dataset.load(path: folder.path + "/no") }
    #expect(throws: ManifestError(path: folder.path, problem: "has neither a manifest.csv nor class folders"))
    {
      try Dataset.load(path: folder.path)
    }
    let file = try folder.write("x", to: "a.txt")
    #expect(throws: ManifestError(path: file, problem: "expects a folder or a .csv manifest as data")) {
      try Dataset.load(path: file)
    }
    try FileManager.default.createDirectory(
      atPath: folder.path + "/manifest.csv", withIntermediateDirectories: false)
    #expect(throws: ManifestError(path: folder.path + "/manifest.csv", problem: "is not a file")) {
      try Dataset.load(path: folder.path)
    }
  }

  @Test func classesNeedImagesToTrainOn() throws {
    let folder = try TemporaryFolder()
    try folder.write("path,label,split\na,x,train\nb,y,test\nc,y,val\n", to: "manifest.csv")
    #expect(
      throws: ManifestError(
        path: folder.path, problem: "class y has images in val and test, but none in train")
    ) {
      try Dataset.load(path: folder.path)
    }
    #expect(throws: ManifestError(path: folder.path, problem: "class z has no image")) {
      try Dataset.load(path: folder.path, classes: ["x", "z", "y"])
    }
    #expect(try Dataset.load(path: folder.path, forTraining: false).samples.count == 3)
  }

  @Test func readsSplitFolders() throws {
    let folder = try TemporaryFolder()
    for file in [
      "train/b/1.png", "train/a/2.JPG", "train/a/deep/3.tiff", "validation/a/4.jpeg", "test/b/5.tif",
      "train/a/notes.txt",
      "train/a/.hidden.png", "test/b/Thumbs.db",
    ] { try folder.write("", to: file) }
    let dataset = try Dataset.load(path: folder.path + "/")
    #expect(dataset.root == folder.path)
    #expect(dataset.classes == ["a", "b"])
    #expect(
      dataset.samples == [
        Sample(path: "test/b/5.tif", label: 1, split: .test),
        Sample(path: "train/a/2.JPG", label: 0, split: .train),
        Sample(path: "train/a/deep/3.tiff", label: 0, split: .train),
        Sample(path: "train/b/1.png", label: 1, split: .train),
        Sample(path: "validation/a/4.jpeg", label: 0, split: .val),
      ])
    #expect(dataset.ignoredFiles == 3)
    try folder.write("", to: "holdout/a/6.png")
    #expect(
      throws: ManifestError(
        path: folder.path, problem: "expects only train, val and test in a split folder, got holdout")
    ) { try Dataset.load(path: folder.path) }
  }

  @Test func splitsATreeBySeed() throws {
    let folder = try TemporaryFolder()
    for (name, count) in [("a", 40), ("b", 7), ("c", 1)] {
      for index in 0..<count { try folder.write("", to: "\(name)/\(index).png") }
    }
    let dataset = try Dataset.load(path: folder.path)
    #expect(dataset.counts(in: .test) == [6, 1, 0])
    #expect(dataset.counts(in: .val) == [6, 1, 0])
    #expect(dataset.counts(in: .train) == [28, 5, 1])
    #expect(try Dataset.load(path: folder.path) == dataset)
    let other = try Dataset.load(path: folder.path, rule: SplitRule(seed: 43))
    #expect(other.fingerprint != dataset.fingerprint)
    #expect(other.counts(in: .test) == [6, 1, 0])
    let half = try Dataset.load(path: folder.path, rule: SplitRule(validation: 0, test: 0.5))
    #expect(half.counts(in: .test) == [20, 4, 0])
    #expect(half.counts(in: .val) == [0, 0, 0])

    // The same files in a manifest without a split column, in another order, are split alike.
    let rows = dataset.samples.reversed().map { "\($0.path),\(dataset.classes[$0.label])" }
    try folder.write("path,label\n" + rows.joined(separator: "\n"), to: "manifest.csv")
    #expect(try Dataset.load(path: folder.path).fingerprint == dataset.fingerprint)
  }

  @Test func emptyClassFoldersAreRefused() throws {
    let folder = try TemporaryFolder()
    try folder.write("", to: "a/1.png")
    try folder.write("", to: "b/readme.txt")
    #expect(throws: ManifestError(path: folder.path, problem: "class b has no image")) {
      try Dataset.load(path: folder.path)
    }
    #expect(throws: ManifestError(path: folder.path, problem: "the folder b is none of the classes a")) {
      try Dataset.load(path: folder.path, classes: ["a"])
    }
  }

  @Test func circlesOfLinksEnd() throws {
    let folder = try TemporaryFolder()
    try folder.write("", to: "a/1.png")
    try FileManager.default.createSymbolicLink(
      atPath: folder.path + "/a/up", withDestinationPath: folder.path)
    let error = #expect(throws: ManifestError.self) { try Dataset.load(path: folder.path) }
    #expect(error?.problem == "folders lie too deep in each other")
  }

  @Test func leavesSamplesOut() throws {
    let samples = (0..<5).map { Sample(path: "\($0)", label: 0, split: .train) }
    let dataset = Dataset(root: "r", classes: ["a"], samples: samples.reversed())
    let rest = dataset.leavingOut([1, 3])
    #expect(rest.samples.map(\.path) == ["0", "2", "4"])
    #expect(rest.fingerprint != dataset.fingerprint)
    #expect(Dataset(root: "elsewhere", classes: ["a"], samples: samples).fingerprint == dataset.fingerprint)
    #expect(Dataset(root: "r", classes: ["b"], samples: samples).fingerprint != dataset.fingerprint)
  }
}
