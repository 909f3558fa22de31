#include "codec.h"

#include <setjmp.h>
#include <stddef.h>

#include <jpeglib.h>

#include <jerror.h>

typedef struct {
  struct jpeg_error_mgr base;  // first: libjpeg knows only this part
  jmp_buf escape;
  char *message;
} jpeg_errors;

static void on_error(j_common_ptr codec) {
  jpeg_errors *errors = (jpeg_errors *)codec->err;
  char text[JMSG_LENGTH_MAX];
  codec->err->format_message(codec, text);
  fail(errors->message, "damaged or cut short JPEG (%s)", text);
  longjmp(errors->escape, 1);
}

// libjpeg fills what is missing with grey and only warns. Oddities that lose no pixel may pass.
static void on_message(j_common_ptr codec, int level) {
  if (level >= 0) return;
  switch (codec->err->msg_code) {
    case JWRN_JPEG_EOF:
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_ARITH_BAD_CODE: on_error(codec);
  }
}

static void on_output(j_common_ptr codec) { (void)codec; }

// A small file can hold thousands of scans that each take the time of a whole image.
static void on_progress(j_common_ptr codec) {
  if (codec->is_decompressor && ((j_decompress_ptr)codec)->input_scan_number > 500)
    ERREXIT(codec, JERR_BAD_PROGRESSION);
}

static int read_header(j_decompress_ptr codec, cnn_image_info *info, uint64_t pixel_limit, char *message) {
  jpeg_read_header(codec, TRUE);
  info->width = codec->image_width;
  info->height = codec->image_height;
  info->bit_depth = codec->data_precision;
  switch (codec->jpeg_color_space) {
    case JCS_GRAYSCALE: info->channels = 1; break;
    case JCS_RGB:
    case JCS_YCbCr: info->channels = 3; break;
    case JCS_CMYK:
    case JCS_YCCK: return fail(message, "a JPEG in CMYK colours; save it as RGB");
    default: return fail(message, "a JPEG of %d components in unknown colours", codec->num_components);
  }
  return check_extent(info->width, info->height, pixel_limit, message);
}

// The slow integer DCT and smooth upsampling are libjpeg's defaults and Pillow's; named, since the
// pixels depend on them.
static int read_pixels(j_decompress_ptr codec, const cnn_image_info *info, uint8_t *pixels, char *message) {
  cnn_image_info now = *info;
  if (read_header(codec, &now, (uint64_t)info->width * info->height, message)) return -1;
  if (check_same(&now, info, message)) return -1;
  codec->out_color_space = info->channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
  codec->dct_method = JDCT_ISLOW;
  codec->do_fancy_upsampling = TRUE;
  jpeg_start_decompress(codec);
  const size_t row_bytes = (size_t)info->width * (size_t)info->channels;
  while (codec->output_scanline < codec->output_height) {
    JSAMPROW row = pixels + codec->output_scanline * row_bytes;
    jpeg_read_scanlines(codec, &row, 1);
  }
  jpeg_finish_decompress(codec);
  return 0;
}

typedef struct {
  struct jpeg_decompress_struct codec;
  jpeg_errors errors;
  struct jpeg_progress_mgr progress;
} jpeg_reader;

static void prepare(jpeg_reader *reader, char *message) {
  reader->codec.err = jpeg_std_error(&reader->errors.base);
  reader->errors.base.error_exit = on_error;
  reader->errors.base.emit_message = on_message;
  reader->errors.base.output_message = on_output;
  reader->errors.message = message;
  reader->progress.progress_monitor = on_progress;
  reader->codec.mem = NULL;  // destroying is right even if creating fails
}

int jpeg_probe(const uint8_t *bytes, size_t count, uint64_t pixel_limit, cnn_image_info *info, char *message) {
  jpeg_reader reader;
  prepare(&reader, message);
  if (setjmp(reader.errors.escape)) {
    jpeg_destroy_decompress(&reader.codec);
    return -1;
  }
  jpeg_create_decompress(&reader.codec);
  jpeg_mem_src(&reader.codec, bytes, count);
  const int status = read_header(&reader.codec, info, pixel_limit, message);
  jpeg_destroy_decompress(&reader.codec);
  return status;
}

int jpeg_decode(const uint8_t *bytes, size_t count, const cnn_image_info *info, uint8_t *pixels, char *message) {
  jpeg_reader reader;
  prepare(&reader, message);
  if (setjmp(reader.errors.escape)) {
    jpeg_destroy_decompress(&reader.codec);
    return -1;
  }
  jpeg_create_decompress(&reader.codec);
  reader.codec.progress = &reader.progress;
  jpeg_mem_src(&reader.codec, bytes, count);
  const int status = read_pixels(&reader.codec, info, pixels, message);
  jpeg_destroy_decompress(&reader.codec);
  return status;
}
