import CellData
import Foundation
import Tensors
import Testing

struct ImageInputsTests {
  private static let preparation = ImagePreparation(channels: 3, size: 6, shorterSide: 7)

  /// A set of `images` bytes with a shape, and perhaps labels.
  private func set(
    _ folder: TemporaryFolder, _ name: String, _ shape: Shape, _ bytes: [UInt8], labels: [Int64]? = nil
  ) throws -> String {
    var file = Safetensors.Writer()
    file.add("images", shape: shape, bytes)
    if let labels { file.add("labels", shape: [labels.count], labels) }
    let path = folder.path + "/" + name
    try file.write(to: path)
    return path
  }

  @Test func setsGiveThePixelsOfFilesInEveryLayout() throws {
    let folder = try TemporaryFolder()
    let colour = (0..<5).map { patterned(width: 9, height: 8, channels: 3, salt: $0) }
    let grey = (0..<5).map { patterned(width: 9, height: 8, channels: 1, salt: 40 + $0) }
    let planar = colour.flatMap { image in
      (0..<3).flatMap { c in (0..<72).map { image.bytes[3 * $0 + c] } }
    }
    for (name, shape, bytes, images) in [
      ("last", [5, 8, 9, 3] as Shape, colour.flatMap(\.bytes), colour),
      ("second", [5, 3, 8, 9], planar, colour),
      ("grey", [5, 8, 9], grey.flatMap(\.bytes), grey), ("one", [5, 8, 9, 1], grey.flatMap(\.bytes), grey),
      ("plane", [5, 1, 8, 9], grey.flatMap(\.bytes), grey),
    ] {
      let set = try ImageSet(
        path: set(folder, name + ".safetensors", shape, bytes), preparation: Self.preparation)
      #expect(set.count == 5)
      for (number, image) in images.enumerated() {
        #expect(
          try set.load(number) == Self.preparation.apply(to: image, named: ""), "image \(number) of \(name)")
      }
    }
  }

  @Test func setsThatCantBeUsedAreRefused() throws {
    let folder = try TemporaryFolder()
    func refusal(_ make: () throws -> Void) -> String {
      do { try make() } catch { return "\(error)".replacing(folder.path + "/", with: "") }
      return "accepted"
    }
    func refusal(_ shape: Shape, channels: Int = 3) throws -> String {
      let path = try set(folder, "set.safetensors", shape, Array(repeating: 7, count: shape.count))
      return refusal {
        _ = try ImageSet(path: path, preparation: ImagePreparation(channels: channels, size: 6))
      }
    }
    #expect(
      try refusal([4, 6]).hasPrefix("set.safetensors: images expects the shape (N, H, W), (N, H, W, C) or"))
    #expect(
      try refusal([2, 8, 9, 5])
        == "set.safetensors: images of shape (2, 8, 9, 5) have no dimension of 1 … 4 channels, last or second"
    )
    #expect(try refusal([2, 3, 9, 4]).hasSuffix("the channels may be the last dimension or the second"))
    #expect(try refusal([0, 8, 9]) == "set.safetensors: images of shape (0, 8, 9) hold no image")
    #expect(
      try refusal([2, 8, 9, 3], channels: 1)
        == "set.safetensors: 3 channels can't become the configured 1")
    var floats = Safetensors.Writer()
    floats.add("images", Tensor(shape: [1, 8, 8], values: Array(repeating: 0, count: 64)))
    let path = folder.path + "/other.safetensors"
    try floats.write(to: path)
    #expect(
      refusal { _ = try ImageInputs([path]) } == "other.safetensors: images expects bytes (U8), got F32")
    var pixels = Safetensors.Writer()
    pixels.add("pixels", shape: [1], [UInt8(1)])
    try pixels.write(to: path)
    #expect(
      refusal { _ = try ImageInputs([path]) }
        == "other.safetensors: an image set expects an array images, got pixels")
    let whole = try set(folder, "whole.safetensors", [3, 8, 9], Array(repeating: 1, count: 216))
    truncate(whole, 200)
    #expect(refusal { _ = try ImageInputs([whole]) }.contains("or the file is cut short"))
  }

  @Test func labelsOfAnotherRunAreRefused() throws {
    let folder = try TemporaryFolder()
    let bytes = Array(repeating: UInt8(0), count: 3 * 64)
    func check(_ labels: [Int64]) throws {
      let path = try set(folder, "set.safetensors", [3, 8, 8], bytes, labels: labels)
      try InputSource(ImageInputs([path]), preparation: Self.preparation).checkLabels(classes: 4)
    }
    try check([0, 3, 1])
    #expect(throws: SafetensorsError.self) { try check([0, 4, 1]) }
    #expect(throws: SafetensorsError.self) { try check([0, -1, 1]) }
    #expect(throws: SafetensorsError.self) { try check([0, 1]) }
  }

  @Test func imagesStandInTheOrderOfTheArguments() throws {
    let folder = try TemporaryFolder()
    for (salt, name) in ["z.png", "in/b.png", "in/deep/c.png", "in/a.png"].enumerated() {
      _ = try folder.write(patterned(width: 8, height: 8, channels: 3, salt: salt).png(), to: name)
    }
    _ = try folder.write("id,path\n1,in/b.png\n2,\(folder.path)/z.png\n3,in/b.png\n", to: "list.csv")
    let four = patterned(width: 8, height: 32, channels: 3, salt: 9)
    let cells = try set(folder, "cells.safetensors", [4, 8, 8, 3], four.bytes)
    let inputs = try ImageInputs(
      ["z.png", "in/", "cells.safetensors", "list.csv", "cells.safetensors"].map { folder.path + "/" + $0 })
    let source = try InputSource(inputs, preparation: Self.preparation)
    let names = (0..<source.count).map { source.name(of: $0).replacing(folder.path + "/", with: "") }
    let set = (0..<4).map { "cells.safetensors[\($0)]" }
    #expect(
      names == ["z.png", "in/a.png", "in/b.png", "in/deep/c.png"] + set + ["in/b.png", "z.png", "in/b.png"]
        + set)
    #expect(inputs.parts.map(\.count) == [4, 4, 3, 4] && inputs.parts[1].set == cells)
    // What a rank is told is what rank 0 has found.
    #expect(ImageInputs(parts: inputs.parts, files: PathList(bytes: inputs.files.bytes)) == inputs)
    for (index, name) in names.enumerated() where !name.hasSuffix("]") {
      let image = try ImageDecoder.decode(path: folder.path + "/" + name)
      #expect(try source.load(index) == Self.preparation.apply(to: image, named: name), "\(name)")
    }
    let second = PixelImage(width: 8, height: 8, channels: 3, bytes: Array(four.bytes[192..<384]))
    #expect(try source.load(12) == Self.preparation.apply(to: second, named: ""))
  }

  @Test func listsThatCantBeUsedAreRefused() throws {
    let folder = try TemporaryFolder()
    func refusal(_ text: String) throws -> String {
      let path = try folder.write(text, to: "list.csv")
      do { _ = try ImageInputs([path]) } catch { return "\(error)".replacing(folder.path + "/", with: "") }
      return "accepted"
    }
    #expect(try refusal("") == "list.csv: the list is empty")
    #expect(try refusal("path\n") == "list.csv: the list has no rows")
    #expect(
      try refusal("file,label\na.png,x\n")
        == "list.csv, line 1: expects a header with a column path, got file,label")
    #expect(try refusal("path,label\na.png,x\nb.png\n").hasPrefix("list.csv, line 3: expects 2 fields"))
    #expect(try refusal("path,label\na.png,x\n,y\n") == "list.csv, line 3: the path is empty")
    #expect(throws: ManifestError.self) { try ImageInputs([folder.path + "/none.png"]) }
  }
}
