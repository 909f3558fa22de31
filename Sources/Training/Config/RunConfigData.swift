package struct DataConfig: Codable, Sendable, Equatable {
  package enum Check: String, ConfigChoice { case full, headers, off }
  package enum BadImage: String, ConfigChoice { case stop, skip }

  /// The value of `path` that stands for cells made on the spot.
  package static let synthetic = "synthetic"

  package var path = DataConfig.synthetic
  package var image = ImageConfig()
  package var split = SplitConfig()
  package var augmentation = AugmentationConfig()
  package var normalisation = NormalisationConfig()
  package var check = Check.full
  package var onBadImage = BadImage.stop
  /// Memory for decoded images in a rank.
  package var cacheMegabytes = 2048
  /// Threads that decode ahead in a rank; 0 for as many as lanes.
  package var threads = 0
  package var synthetic = SyntheticConfig()

  enum CodingKeys: String, CodingKey {
    case path, image, split, augmentation, normalisation, check
    case onBadImage = "on_bad_image"
    case cacheMegabytes = "cache_megabytes"
    case threads, synthetic
  }
}

package struct ImageConfig: Codable, Sendable, Equatable {
  /// Height and width that the network sees.
  package var size = 64
  package var channels = 3
  /// What the shorter side is resized to before cropping; 0 for 9/8 of `size`.
  package var resize = 0

  /// The length of the shorter side before cropping.
  package var resizedSide: Int { resize == 0 ? size * 9 / 8 : resize }
}

/// Shares of the images, where the data set is one tree without splits of its own.
package struct SplitConfig: Codable, Sendable, Equatable {
  package var train = 0.7
  package var validation = 0.15
  package var test = 0.15

  enum CodingKeys: String, CodingKey {
    case train
    case validation = "val"
    case test
  }
}

package struct AugmentationConfig: Codable, Sendable, Equatable {
  package var randomCrop = true
  package var horizontalFlip = true
  package var verticalFlip = true
  package var quarterTurns = false

  enum CodingKeys: String, CodingKey {
    case randomCrop = "random_crop"
    case horizontalFlip = "horizontal_flip"
    case verticalFlip = "vertical_flip"
    case quarterTurns = "quarter_turns"
  }
}

/// x ← (x − mean) / deviation for each channel, with x in 0 … 1; empty for the training split's own.
package struct NormalisationConfig: Codable, Sendable, Equatable {
  package var mean: [Double] = []
  package var deviation: [Double] = []
}

/// The cells made on the spot when `data.path` is `synthetic`.
package struct SyntheticConfig: Codable, Sendable, Equatable {
  package var images = 3000
  package var kinds = 6
}
