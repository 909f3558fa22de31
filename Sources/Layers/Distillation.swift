import CKernels
import Tensors

/// What a student learns from a teacher's class scores beside the labels: of logits z of the student and t of the teacher
/// (N, K), p = softmax(z/T) and q = softmax(t/T),
///
///     L = (1 − α) · C + α · T²/N · Σₙ Σₖ q[n,k] (log q[n,k] − log p[n,k])
///
/// with the cross-entropy C of the labels. Gradients of the second term shrink by 1/T², which T² undoes. It is PyTorch's
/// `F.kl_div(log p, q, reduction="batchmean")` times T². The sum runs over the global batch: N is passed in.
/// Knowledge distillation: Hinton et al. 2015 (arXiv:1503.02531).
package struct Distillation: Sendable, Equatable {
  /// T.
  package let temperature: Float
  /// α.
  package let weight: Float

  /// A temperature above 0, a weight in 0 ... 1.
  package init(temperature: Float, weight: Float) {
    precondition(temperature > 0 && temperature.isFinite, "a temperature is more than 0, got \(temperature)")
    precondition(0...1 ~= weight, "the weight of a teacher expects 0 ... 1, got \(weight)")
    (self.temperature, self.weight) = (temperature, weight)
  }

  /// Class scores in blocks of 16, (K/16, n, 16): those of `images` of the `n` in memory.
  package struct Scores {
    package let logits: UnsafePointer<Float>
    package let n: Int
    package let images: Range<Int>

    package init(logits: UnsafePointer<Float>, n: Int, images: Range<Int>) {
      precondition(
        images.lowerBound >= 0 && images.upperBound <= n, "\(n) images in memory don't include \(images)")
      (self.logits, self.n, self.images) = (logits, n, images)
    }
  }

  /// Σₙ T² Σₖ q (log q − log p) over the images of both. Adds α/N times its gradient to the student's `dLogits`.
  package func forwardBackward(
    _ student: Scores, _ teacher: Scores, classes: Int, batch: Int, dLogits: UnsafeMutablePointer<Float>,
    kernels: InstructionSet
  ) -> Double {
    precondition(
      student.images.count == teacher.images.count,
      "a student of \(student.images.count) images expects as many of the teacher, got \(teacher.images.count)"
    )
    precondition(batch > 0, "a batch expects at least one image, got \(batch)")
    var task = cnn_distillation(
      classes: classes, images: student.images.count, n: student.n, first: student.images.lowerBound,
      teacher_n: teacher.n, teacher_first: teacher.images.lowerBound, temperature: temperature,
      scale: weight / Float(batch))
    return cnn_softmax_kernels_for(kernels.kernelTable).pointee
      .distillation(&task, student.logits, teacher.logits, dLogits)
  }
}
