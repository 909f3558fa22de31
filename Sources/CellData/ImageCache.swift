import Tensors

/// Keeps the images of a source in memory, up to a number of bytes. Nothing is thrown out: an epoch visits
/// every image once, so what came first serves as well as what came last.
package final class ImageCache: ImageSource {
  /// How often images were taken from the source and from memory.
  package struct Counts: Sendable, Equatable {
    package var loaded: Int
    package var reused: Int

    package init(loaded: Int = 0, reused: Int = 0) {
      self.loaded = loaded
      self.reused = reused
    }
  }

  private struct State {
    var images: [Int: PixelImage] = [:]
    var bytes = 0
    var counts = Counts()
  }

  private let source: any ImageSource
  private let budget: Int
  private let state = Monitor(State())

  package init(_ source: any ImageSource, budgetBytes: Int) {
    self.source = source
    budget = budgetBytes
  }

  package var count: Int { source.count }
  package var counts: Counts { state.update { $0.counts } }
  package var bytes: Int { state.update { $0.bytes } }

  package func load(_ index: Int) throws(ImageError) -> PixelImage {
    let kept = state.update { state in
      let image = state.images[index]
      if image != nil { state.counts.reused += 1 } else { state.counts.loaded += 1 }
      return image
    }
    if let kept { return kept }
    let image = try source.load(index)
    keep(index, image)
    return image
  }

  /// Takes an image that someone else has loaded from the source, if there is room.
  package func keep(_ index: Int, _ image: PixelImage) {
    state.update { state in
      guard state.images[index] == nil, state.bytes + image.bytes.count <= budget else { return }
      state.images[index] = image
      state.bytes += image.bytes.count
    }
  }
}
