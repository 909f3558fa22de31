import Tensors
import Testing

@Suite struct DurableFileTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  @Test func writeEmptiesWhatWasThere() throws {
    let path = folder.file("a")
    try DurableFile.write(Array(repeating: 1, count: 3_000_000), to: path)
    try DurableFile.write([2, 3], to: path)
    #expect(try bytes(of: path) == [2, 3])
    try DurableFile.write([], to: path)
    #expect(try bytes(of: path) == [])
  }

  @Test func replaceLeavesOnlyTheNewFile() throws {
    try DurableFile.replace(folder.file("a"), with: [1])
    try DurableFile.replace(folder.file("a"), with: [2, 2])
    #expect(try bytes(of: folder.file("a")) == [2, 2])
    #expect(folder.names == ["a"])
  }

  /// A folder stands where the file should go: nothing may be left beside it.
  @Test func aReplacementThatFailsLeavesNothingBehind() throws {
    try DurableFile.write([1], to: folder.file("taken"))
    let path = folder.path
    #expect(throws: FileError.self) { try DurableFile.replace(path, with: [1]) }
    #expect(folder.names == ["taken"])
    #expect(throws: (any Error).self) { try bytes(of: path + ".tmp") }
  }

  @Test func errorsSayWhatTheSystemSaid() {
    expect("/nowhere/a: can't create: No such file or directory") {
      try DurableFile.write([1], to: "/nowhere/a")
    }
    expect("/dev/full: can't write: No space left on device") { try DurableFile.write([1], to: "/dev/full") }
    expect("/nowhere: can't open: No such file or directory") {
      try DurableFile.flushDirectory(of: "/nowhere/a")
    }
  }

  private func expect(_ message: String, when body: () throws -> Void) {
    let error = #expect(throws: FileError.self, performing: body)
    #expect(error?.description == message)
  }
}

@Suite struct ContentHashTests {
  /// As `xxhsum -H2` prints them.
  @Test(arguments: [
    ("", "99aa06d3014798d86001c324468d497f"),
    ("abc", "06b05ab6733a618578af5f94892f3950"),
  ])
  func hashesAreTheKnownOnes(text: String, hash: String) {
    #expect(ContentHash(text).description == hash)
  }

  @Test func piecesHashLikeTheWhole() {
    let text = String(repeating: "cells ", count: 500)
    for border in [0, 1, 240, 1024, 3000] {
      var hasher = ContentHasher()
      hasher.update(String(text.prefix(border)))
      hasher.update(String(text.dropFirst(border)))
      #expect(hasher.finish() == ContentHash(text))
    }
  }

  @Test func oneBitChangesTheHash() {
    var bytes = Array(repeating: UInt8(0), count: 1000)
    let before = bytes.withUnsafeBytes { ContentHash($0) }
    bytes[777] = 4
    #expect(bytes.withUnsafeBytes { ContentHash($0) } != before)
  }
}
