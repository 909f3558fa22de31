#include "codec.h"

#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  const uint8_t *bytes;
  size_t count, position;
} png_source;

static void on_error(png_structp png, png_const_charp text) {
  fail(png_get_error_ptr(png), "damaged or cut short PNG (%s)", text);
  png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text) { (void)png, (void)text; }

static void read_bytes(png_structp png, png_bytep target, size_t wanted) {
  png_source *source = png_get_io_ptr(png);
  if (wanted > source->count - source->position) png_error(png, "the data end early");
  memcpy(target, source->bytes + source->position, wanted);
  source->position += wanted;
}

// Reads up to the first pixel data. A tRNS chunk is left aside: it marks a colour as see-through, and
// the colours themselves are what counts here.
static int read_header(png_structp png, png_infop header, cnn_image_info *info, uint64_t pixel_limit,
                       char *message) {
  png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
  png_read_info(png, header);
  info->width = png_get_image_width(png, header);
  info->height = png_get_image_height(png, header);
  info->bit_depth = png_get_bit_depth(png, header);
  const int kind = png_get_color_type(png, header);
  info->channels = kind == PNG_COLOR_TYPE_PALETTE ? 3 : png_get_channels(png, header);
  return check_extent(info->width, info->height, pixel_limit, message);
}

int png_probe(const uint8_t *bytes, size_t count, uint64_t pixel_limit, cnn_image_info *info, char *message) {
  png_source source = {bytes, count, 0};
  png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, message, on_error, on_warning);
  if (!png) return fail(message, "libpng can't start");
  png_infop header = png_create_info_struct(png);
  if (!header) fail(message, "libpng can't start");
  if (!header || setjmp(png_jmpbuf(png))) {
    png_destroy_read_struct(&png, &header, NULL);
    return -1;
  }
  png_set_read_fn(png, &source, read_bytes);
  const int status = read_header(png, header, info, pixel_limit, message);
  png_destroy_read_struct(&png, &header, NULL);
  return status;
}

// Everything that may longjmp, so that no local of the caller is at risk.
static int read_pixels(png_structp png, png_infop header, const cnn_image_info *info, uint8_t *pixels,
                       char *message) {
  cnn_image_info now = *info;
  if (read_header(png, header, &now, (uint64_t)info->width * info->height, message)) return -1;
  if (check_same(&now, info, message)) return -1;
  const int kind = png_get_color_type(png, header);
  if (kind == PNG_COLOR_TYPE_PALETTE) {
    png_set_palette_to_rgb(png);
    png_set_strip_alpha(png);  // the expansion adds a tRNS chunk's alpha
  } else if (now.bit_depth < 8) {
    png_set_expand_gray_1_2_4_to_8(png);
  }
  const int passes = png_set_interlace_handling(png);
  png_read_update_info(png, header);
  const size_t row_bytes = (size_t)info->width * (size_t)info->channels;
  if (png_get_rowbytes(png, header) != row_bytes)
    return fail(message, "a PNG row of %zu bytes where %zu are expected", (size_t)png_get_rowbytes(png, header),
                row_bytes);
  for (int pass = 0; pass < passes; pass++)
    for (uint32_t y = 0; y < info->height; y++) png_read_row(png, pixels + y * row_bytes, NULL);
  png_read_end(png, NULL);
  return 0;
}

int png_decode(const uint8_t *bytes, size_t count, const cnn_image_info *info, uint8_t *pixels, char *message) {
  png_source source = {bytes, count, 0};
  png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, message, on_error, on_warning);
  if (!png) return fail(message, "libpng can't start");
  png_infop header = png_create_info_struct(png);
  if (!header) fail(message, "libpng can't start");
  if (!header || setjmp(png_jmpbuf(png))) {
    png_destroy_read_struct(&png, &header, NULL);
    return -1;
  }
  png_set_read_fn(png, &source, read_bytes);
  const int status = read_pixels(png, header, info, pixels, message);
  png_destroy_read_struct(&png, &header, NULL);
  return status;
}

typedef struct {
  uint8_t *bytes;
  size_t count, capacity;
} png_target;

static void write_bytes(png_structp png, png_bytep data, size_t length) {
  png_target *target = png_get_io_ptr(png);
  if (length > target->capacity - target->count) {
    const size_t capacity = 2 * (target->capacity + length);
    uint8_t *grown = realloc(target->bytes, capacity);
    if (!grown) png_error(png, "out of memory");
    target->bytes = grown;
    target->capacity = capacity;
  }
  memcpy(target->bytes + target->count, data, length);
  target->count += length;
}

static void flush_bytes(png_structp png) { (void)png; }

static void on_write_error(png_structp png, png_const_charp text) {
  fail(png_get_error_ptr(png), "can't write a PNG (%s)", text);
  png_longjmp(png, 1);
}

static void write_pixels(png_structp png, png_infop header, const uint8_t *pixels, uint32_t width,
                         uint32_t height, int channels) {
  png_set_IHDR(png, header, width, height, 8, channels == 3 ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_GRAY,
               PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_write_info(png, header);
  for (uint32_t y = 0; y < height; y++)
    png_write_row(png, pixels + (size_t)y * width * (size_t)channels);
  png_write_end(png, header);
}

int cnn_png_encode(const uint8_t *pixels, uint32_t width, uint32_t height, int channels, uint8_t **bytes,
                   size_t *count, char *message) {
  if (channels != 1 && channels != 3) return fail(message, "a PNG is written from 1 or 3 channels, not %d", channels);
  png_target target = {NULL, 0, 0};
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, message, on_write_error, on_warning);
  if (!png) return fail(message, "libpng can't start");
  png_infop header = png_create_info_struct(png);
  // `target` is reached through its address alone, so the jump finds it as it was written.
  if (!header) fail(message, "libpng can't start");
  if (!header || setjmp(png_jmpbuf(png))) {
    png_destroy_write_struct(&png, &header);
    free(((volatile png_target *)&target)->bytes);
    return -1;
  }
  png_set_write_fn(png, &target, write_bytes, flush_bytes);
  write_pixels(png, header, pixels, width, height, channels);
  png_destroy_write_struct(&png, &header);
  *bytes = target.bytes;
  *count = target.count;
  return 0;
}
