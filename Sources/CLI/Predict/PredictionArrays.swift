import Foundation
import Tensors
import Training

/// Predictions as a safetensors file: `predicted` (N) I64, the place of the class; `probabilities` (N, K); with
/// features, `features` (N, F).
///
/// The header comes first and the file gets its whole length, so rows are written in place. A row that isn't
/// written yet has probabilities of 0, which add up to 1 in all others; an image that can't be used has −1 and NaN.
struct PredictionArrays {
  private let header: [UInt8]
  private let count: Int
  private let classes: Int
  private let features: Int

  init(count: Int, classes: [String], features: Int, metadata: [(key: String, value: String)]) {
    (self.count, self.classes, self.features) = (count, classes.count, features)
    var arrays: [(name: String, type: Safetensors.ElementType, shape: Shape)] = [
      ("predicted", .int64, [count]), ("probabilities", .float32, [count, classes.count]),
    ]
    if features > 0 { arrays.append(("features", .float32, [count, features])) }
    let names = "[\(classes.map(JSONText.quoted).joined(separator: ", "))]"
    header = Safetensors.header(of: arrays, metadata: [("classes", names)] + metadata)
  }

  private var probabilitiesOffset: Int { header.count + 8 * count }
  private var featuresOffset: Int { probabilitiesOffset + 4 * count * classes }
  var fileBytes: Int { featuresOffset + 4 * count * features }

  /// Writes the header of a new file and takes the room for all rows, so that a disk that is too small is told of
  /// now. Of one that was begun it checks the length. Throws `FileError`.
  func reserve(in file: Int32, path: String, isNew: Bool) throws(FileError) {
    if isNew {
      // Where the file system can't, the C library writes zeros.
      errno = posix_fallocate(file, 0, off_t(fileBytes))
      guard errno == 0, PredictionRecord.write(header, to: file, at: 0) else {
        throw FileError(path: path, cannot: "reserve \(fileBytes) bytes")
      }
      return
    }
    var status = stat()
    guard fstat(file, &status) == 0, Int(status.st_size) == fileBytes else {
      throw FileError(path: path, problem: "expects \(fileBytes) bytes, has \(status.st_size): can't resume")
    }
  }

  /// Whether the rows of a block were written; otherwise `errno` says why not.
  func write(_ block: PredictedBlock, to file: Int32) -> Bool {
    let first = block.images.lowerBound
    let predicted = (0..<block.images.count).map { Int64(block.predicted($0) ?? -1) }
    return predicted.withUnsafeBytes { PredictionRecord.write($0, to: file, at: header.count + 8 * first) }
      && PredictionRecord.write(
        UnsafeRawBufferPointer(block.featureRows), to: file, at: featuresOffset + 4 * first * features)
      && PredictionRecord.write(
        UnsafeRawBufferPointer(block.probabilities), to: file, at: probabilitiesOffset + 4 * first * classes)
  }
}
