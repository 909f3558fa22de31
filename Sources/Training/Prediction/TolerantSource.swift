import CellData
import Tensors

/// Images of another source, with blank ones in the place of those that can't be used, which are noted.
final class TolerantSource: ImageSource {
  private let source: any ImageSource
  private let blank: PixelImage
  private let noted = Monitor([Int: ImageError]())

  init(_ source: any ImageSource, preparation: ImagePreparation) {
    self.source = source
    let (side, channels) = (preparation.size, preparation.channels)
    blank = PixelImage(
      width: side, height: side, channels: channels,
      bytes: Array(repeating: 0, count: side * side * channels))
  }

  var count: Int { source.count }

  func load(_ index: Int) -> PixelImage {
    do throws(ImageError) {
      return try source.load(index)
    } catch {
      noted.update { $0[index] = error }
      return blank
    }
  }

  /// Those of some images that can't be used, in order; each is told once.
  func takeBad(in images: Range<Int>) -> [(image: Int, error: ImageError)] {
    noted.update { noted in
      guard !noted.isEmpty else { return [] }
      return images.compactMap { index in
        noted.removeValue(forKey: index).map { (index, $0) }
      }
    }
  }
}
