/// Images by number, in the form in which they are kept: 8 bits, resized, not yet cropped.
package protocol ImageSource: Sendable {
  var count: Int { get }

  /// May be called by several threads at once. The same number gives the same image.
  func load(_ index: Int) throws(ImageError) -> PixelImage
}

/// What happens to each image once, before it is kept: channels, then size.
package struct ImagePreparation: Sendable, Hashable, Codable {
  /// 1 (grey) or 3 (RGB).
  package let channels: Int
  /// The side of the square that the network sees.
  package let size: Int
  /// The shorter side that images are resized to.
  package let shorterSide: Int
  /// Files with more pixels are refused.
  package let pixelLimit: Int

  /// `shorterSide` is 9/8 of `size` unless given, which leaves room to crop.
  package init(
    channels: Int, size: Int, shorterSide: Int? = nil, pixelLimit: Int = ImageDecoder.defaultPixelLimit
  ) {
    precondition(channels == 1 || channels == 3, "images have 1 or 3 channels, not \(channels)")
    let side = shorterSide ?? size * 9 / 8
    precondition(size > 0 && side >= size, "images are cropped to \(size), so can't be resized to \(side)")
    self.channels = channels
    self.size = size
    self.shorterSide = side
    self.pixelLimit = pixelLimit
  }

  /// The conversion from the channels of a file, or the reason why there is none.
  func conversion(from stored: Int, named path: String) throws(ImageError) -> ChannelConversion {
    guard let conversion = ChannelConversion(from: stored, to: channels) else {
      throw ImageError(path: path, problem: "\(stored) channels can't become the configured \(channels)")
    }
    return conversion
  }

  /// The extent after resizing; refused where a sliver of an image would become a giant.
  func extent(width: Int, height: Int, named path: String) throws(ImageError) -> (width: Int, height: Int) {
    let extent = Resize.extent(width: width, height: height, shorter: shorterSide)
    guard extent.height <= pixelLimit / extent.width else {
      throw ImageError(
        path: path,
        problem: "\(width) x \(height) pixels would be resized to \(extent.width) x \(extent.height), "
          + "more than the limit of \(pixelLimit)")
    }
    return extent
  }

  /// The image as it is kept; `path` names it in errors.
  package func apply(to image: PixelImage, named path: String) throws(ImageError) -> PixelImage {
    let conversion = try conversion(from: image.channels, named: path)
    let extent = try extent(width: image.width, height: image.height, named: path)
    // Fewer channels first: resizing is per channel, so the order doesn't change the result.
    if conversion.to < conversion.from {
      return Resize.resize(conversion.apply(to: image), width: extent.width, height: extent.height)
    }
    return conversion.apply(to: Resize.resize(image, width: extent.width, height: extent.height))
  }
}

/// The images of a data set, each file opened, decoded and prepared when it is asked for.
package struct FolderSource: ImageSource {
  package let dataset: Dataset
  package let preparation: ImagePreparation

  package init(dataset: Dataset, preparation: ImagePreparation) {
    self.dataset = dataset
    self.preparation = preparation
  }

  package var count: Int { dataset.samples.count }

  package func load(_ index: Int) throws(ImageError) -> PixelImage {
    do {
      return try preparation.load(dataset.path(of: index))
    } catch {
      // Errors name the file as the data set does.
      throw ImageError(path: dataset.samples[index].path, problem: error.problem)
    }
  }
}

extension ImagePreparation {
  /// The image of a file, as it is kept.
  func load(_ path: String) throws(ImageError) -> PixelImage {
    try apply(to: ImageDecoder.decode(path: path, pixelLimit: pixelLimit), named: path)
  }
}
