#pragma once
// What the three decoders share.
#include "image_codecs.h"

#include <stdarg.h>
#include <stdio.h>

// Writes one line of printable characters into `message`; returns -1, to be returned at once.
static inline int fail_with(char *message, const char *format, va_list arguments) {
  vsnprintf(message, CNN_IMAGE_MESSAGE, format, arguments);
  for (char *c = message; *c; c++)
    if (*c < 32 || *c > 126) *c = '?';
  return -1;
}

__attribute__((format(printf, 2, 3))) static inline int fail(char *message, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fail_with(message, format, arguments);
  va_end(arguments);
  return -1;
}

// The same for 16 bits in all formats: a later release will map them to 8.
static inline int refuse_depth(int bits, char *message) {
  return fail(message, "%d-bit images are not supported yet", bits);
}

static inline int check_extent(uint64_t width, uint64_t height, uint64_t pixel_limit, char *message) {
  if (width == 0 || height == 0)
    return fail(message, "the image has no pixels (%llu x %llu)", (unsigned long long)width,
                (unsigned long long)height);
  if (height > pixel_limit / width)
    return fail(message, "%llu x %llu pixels are more than the limit of %llu", (unsigned long long)width,
                (unsigned long long)height, (unsigned long long)pixel_limit);
  return 0;
}

// The file is not what was probed: the caller mixed up two files.
static inline int check_same(const cnn_image_info *a, const cnn_image_info *b, char *message) {
  if (a->width != b->width || a->height != b->height || a->channels != b->channels)
    return fail(message, "the image changed between probing and decoding");
  return 0;
}

// `decoder`_probe fills all of `info` but the format. `decoder`_decode also checks that it still holds.
int png_probe(const uint8_t *bytes, size_t count, uint64_t pixel_limit, cnn_image_info *info, char *message);
int png_decode(const uint8_t *bytes, size_t count, const cnn_image_info *info, uint8_t *pixels, char *message);
int jpeg_probe(const uint8_t *bytes, size_t count, uint64_t pixel_limit, cnn_image_info *info, char *message);
int jpeg_decode(const uint8_t *bytes, size_t count, const cnn_image_info *info, uint8_t *pixels, char *message);
int tiff_probe(const uint8_t *bytes, size_t count, uint64_t pixel_limit, cnn_image_info *info, char *message);
int tiff_decode(const uint8_t *bytes, size_t count, const cnn_image_info *info, uint8_t *pixels, char *message);
