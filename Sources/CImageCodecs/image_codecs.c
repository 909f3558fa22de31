#include "codec.h"

#include <stdlib.h>
#include <string.h>

static cnn_image_format format_of(const uint8_t *bytes, size_t count) {
  if (count >= 8 && memcmp(bytes, "\x89PNG\r\n\x1a\n", 8) == 0) return CNN_IMAGE_PNG;
  if (count >= 3 && memcmp(bytes, "\xff\xd8\xff", 3) == 0) return CNN_IMAGE_JPEG;
  if (count >= 4 && (memcmp(bytes, "II\x2a\0", 4) == 0 || memcmp(bytes, "MM\0\x2a", 4) == 0 ||
                     memcmp(bytes, "II\x2b\0", 4) == 0 || memcmp(bytes, "MM\0\x2b", 4) == 0))
    return CNN_IMAGE_TIFF;
  return 0;
}

static int refuse_unknown(const uint8_t *bytes, size_t count, char *message) {
  if (count == 0) return fail(message, "the file is empty (0 bytes)");
  char first[3 * 4 + 1] = "";
  for (size_t i = 0; i < 4 && i < count; i++) snprintf(first + 3 * i, 4, " %02x", bytes[i]);
  return fail(message, "not a PNG, JPEG or TIFF image (first bytes%s)", first);
}

int cnn_image_probe(const uint8_t *bytes, size_t count, uint64_t pixel_limit, cnn_image_info *info,
                    char *message) {
  memset(info, 0, sizeof *info);
  info->format = format_of(bytes, count);
  info->pages = 1;
  switch (info->format) {
    case CNN_IMAGE_PNG: return png_probe(bytes, count, pixel_limit, info, message);
    case CNN_IMAGE_JPEG: return jpeg_probe(bytes, count, pixel_limit, info, message);
    case CNN_IMAGE_TIFF: return tiff_probe(bytes, count, pixel_limit, info, message);
  }
  return refuse_unknown(bytes, count, message);
}

int cnn_image_decode(const uint8_t *bytes, size_t count, const cnn_image_info *info, uint8_t *pixels,
                     char *message) {
  if (info->bit_depth > 8) return refuse_depth(info->bit_depth, message);
  if (format_of(bytes, count) != info->format) return refuse_unknown(bytes, count, message);
  switch (info->format) {
    case CNN_IMAGE_PNG: return png_decode(bytes, count, info, pixels, message);
    case CNN_IMAGE_JPEG: return jpeg_decode(bytes, count, info, pixels, message);
    case CNN_IMAGE_TIFF: return tiff_decode(bytes, count, info, pixels, message);
  }
  return refuse_unknown(bytes, count, message);
}

void cnn_image_free(uint8_t *bytes) { free(bytes); }
