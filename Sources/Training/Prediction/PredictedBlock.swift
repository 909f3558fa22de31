import CellData
import Tensors

/// The network's answers to images that stand side by side in the input.
package struct PredictedBlock: Sendable {
  package let images: Range<Int>
  package let classes: Int
  /// Of each image's features; 0 where nobody asked for them.
  package let features: Int
  /// Probabilities (N, K), behind them features (N, F). NaN in the rows of images that can't be used.
  let values: FloatBuffer

  package init(images: Range<Int>, classes: Int, features: Int, values: FloatBuffer) {
    precondition(
      values.count == images.count * (classes + features),
      "\(images.count) rows of \(classes) + \(features) floats expect as many, got \(values.count)")
    (self.images, self.classes, self.features, self.values) = (images, classes, features, values)
  }

  /// The probabilities of all images, (N, K) row by row.
  package var probabilities: UnsafeBufferPointer<Float> {
    UnsafeBufferPointer(start: values.pointer, count: images.count * classes)
  }

  /// The features of all images, (N, F) row by row.
  package var featureRows: UnsafeBufferPointer<Float> {
    UnsafeBufferPointer(start: values.pointer + images.count * classes, count: images.count * features)
  }

  /// The class of an image, by its place in the block; the first of equal probabilities, as in PyTorch's argmax;
  /// nil where the image can't be used.
  package func predicted(_ place: Int) -> Int? {
    let row = probabilities[(place * classes)..<((place + 1) * classes)]
    guard let first = row.first, !first.isNaN else { return nil }
    return row.indices.reduce(row.startIndex) { row[$1] > row[$0] ? $1 : $0 } - row.startIndex
  }
}

/// How images are cut into blocks: whole microbatches, each cut by the number of the image alone, so that what
/// an image gets depends neither on who computes it nor on where a job went on.
package struct BlockPlan: Sendable, Equatable {
  package let images: Range<Int>
  package let microbatch: Int
  /// Images of a block; the last may have fewer.
  package let size: Int

  /// Blocks are as large as a few megabytes of pixels, and small enough that each of `lanes` gets several.
  package init(images: Range<Int>, microbatch: Int, imageBytes: Int, lanes: Int) {
    precondition(
      images.isEmpty || images.lowerBound % microbatch == 0,
      "\(images) begin within a microbatch of \(microbatch)")
    let fitting = max(1, min(16, (4 << 20) / (microbatch * imageBytes)))
    let microbatches = (images.count + microbatch - 1) / microbatch
    let fair = max(1, (microbatches + 4 * lanes - 1) / (4 * lanes))
    self.images = images
    self.microbatch = microbatch
    size = min(fitting, fair) * microbatch
  }

  package var count: Int { (images.count + size - 1) / size }

  package func images(of block: Int) -> Range<Int> {
    let first = images.lowerBound + block * size
    return first..<min(first + size, images.upperBound)
  }

  func requests(of block: Int) -> [MicrobatchRequest] {
    let images = images(of: block)
    return stride(from: images.lowerBound, to: images.upperBound, by: microbatch).map { first in
      let samples = Array(first..<min(first + microbatch, images.upperBound))
      return MicrobatchRequest(
        epoch: 0, firstPosition: first, samples: samples, labels: Array(repeating: 0, count: samples.count),
        augment: false)
    }
  }
}
