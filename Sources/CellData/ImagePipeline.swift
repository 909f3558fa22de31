import CImageCodecs

/// From a kept image to the floats that the network takes: crop, flips, turns and normalisation in one pass
/// over the pixels.
package struct ImagePipeline: Sendable {
  package let preparation: ImagePreparation
  package let normalisation: Normalisation
  package let augmentation: Augmentation
  package let seed: UInt64
  private let table: [Float]

  package init(
    preparation: ImagePreparation, normalisation: Normalisation, augmentation: Augmentation, seed: UInt64
  ) {
    precondition(
      normalisation.mean.count == preparation.channels,
      "normalisation of \(normalisation.mean.count) channels for images of \(preparation.channels)")
    self.preparation = preparation
    self.normalisation = normalisation
    self.augmentation = augmentation
    self.seed = seed
    table = normalisation.table
  }

  /// Floats that `count` images take.
  package func floats(for count: Int) -> Int {
    preparation.channels * count * preparation.size * preparation.size
  }

  /// How the image at `position` of `epoch` is seen in training.
  package func trainingView(of image: PixelImage, epoch: Int, position: Int) -> View {
    augmentation.view(
      width: image.width, height: image.height, size: preparation.size, seed: seed, epoch: epoch,
      position: position)
  }

  /// How an image is seen in evaluation.
  package func centreView(of image: PixelImage) -> View {
    .centre(width: image.width, height: image.height, size: preparation.size)
  }

  /// Writes a view as image `number` of the `count` images at `target`, which are (C, N, H, W):
  /// target[c, n, y, x] = (image[source(y, x), c] / 255 − mean[c]) / deviation[c].
  package func place(
    _ image: PixelImage, _ view: View, into target: UnsafeMutablePointer<Float>, number: Int, of count: Int
  ) {
    let size = preparation.size
    let channels = preparation.channels
    precondition(
      image.channels == channels, "the pipeline expects \(channels) channels, got \(image.channels)")
    precondition(
      view.top >= 0 && view.left >= 0 && view.top + size <= image.height && view.left + size <= image.width,
      "\(view) of \(size) × \(size) lies outside an image of \(image.width) × \(image.height)")
    precondition((0..<count).contains(number), "image \(number) of \(count)")
    func offset(_ y: Int, _ x: Int) -> Int {
      let source = view.source(y: y, x: x, size: size)
      return (source.y * image.width + source.x) * channels
    }
    let first = offset(0, 0)
    // A view is linear in y and x, so two steps say it all; with one pixel there is nowhere to step.
    let rowStep = size > 1 ? offset(1, 0) - first : 0
    let columnStep = size > 1 ? offset(0, 1) - first : 0
    image.bytes.withUnsafeBufferPointer { bytes in
      guard let base = bytes.baseAddress else { return }
      cnn_place_pixels(
        base + first, rowStep, columnStep, size, Int32(channels), table, target + number * size * size,
        count * size * size)
    }
  }
}
