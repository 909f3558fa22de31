#pragma once
// PNG, JPEG and TIFF from memory and PNG to memory, behind one door: libpng, libjpeg-turbo and libtiff
// stay inside. longjmp never leaves C, nothing is printed, and every allocation is freed on every path.
#include <stddef.h>
#include <stdint.h>

typedef enum { CNN_IMAGE_PNG = 1, CNN_IMAGE_JPEG = 2, CNN_IMAGE_TIFF = 3 } cnn_image_format;

typedef struct {
  cnn_image_format format;
  uint32_t width, height;  // as decoded: a TIFF's orientation is applied
  int channels;            // of the decoded pixels: grey 1, grey and alpha 2, RGB 3, RGBA 4
  int bit_depth;           // of a stored sample; more than 8 can be probed, but not decoded yet
  int pages;               // 1, or the number of directories of a TIFF; the first is decoded
} cnn_image_info;

// Room for one line that says what is wrong, without the name of the file.
#define CNN_IMAGE_MESSAGE 200
typedef char cnn_image_message[CNN_IMAGE_MESSAGE];

// What the image is, from its headers alone. Returns 0, or -1 with the reason in `message`.
// Refuses images of no pixels or more than `pixel_limit`, before anything is allocated for them.
int cnn_image_probe(const uint8_t *bytes, size_t count, uint64_t pixel_limit, cnn_image_info *info,
                    char *message);

// Overwrites width · height · channels interleaved bytes at `pixels`, the top row first, where `info` is
// what the probe of the same bytes gave. Returns 0, or -1 with the reason in `message`; then `pixels`
// may be partly written. Data that ends early is an error in every format.
int cnn_image_decode(const uint8_t *bytes, size_t count, const cnn_image_info *info, uint8_t *pixels,
                     char *message);

// A PNG of interleaved 8-bit pixels with 1 (grey) or 3 (RGB) channels. Returns 0 with the file in a
// buffer that the caller gives back to `cnn_image_free`, or -1 with the reason in `message`.
int cnn_png_encode(const uint8_t *pixels, uint32_t width, uint32_t height, int channels, uint8_t **bytes,
                   size_t *count, char *message);

void cnn_image_free(uint8_t *bytes);
