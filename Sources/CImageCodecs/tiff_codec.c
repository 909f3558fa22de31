#include "codec.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <tiffio.h>

// libtiff's view of the bytes. The message is its first complaint about this file.
typedef struct {
  const uint8_t *bytes;
  size_t count, position;
  cnn_image_message complaint;
} tiff_source;

static tmsize_t read_bytes(thandle_t handle, void *target, tmsize_t wanted) {
  tiff_source *source = handle;
  if (wanted < 0 || source->position >= source->count) return 0;
  size_t given = source->count - source->position;
  if (given > (size_t)wanted) given = (size_t)wanted;
  memcpy(target, source->bytes + source->position, given);
  source->position += given;
  return (tmsize_t)given;
}

static tmsize_t write_bytes(thandle_t handle, void *bytes, tmsize_t count) {
  (void)handle, (void)bytes, (void)count;
  return 0;
}

static toff_t seek_bytes(thandle_t handle, toff_t offset, int from) {
  tiff_source *source = handle;
  const uint64_t base = from == SEEK_CUR ? source->position : from == SEEK_END ? source->count : 0;
  source->position = base + offset;
  return source->position;
}

static int close_bytes(thandle_t handle) {
  (void)handle;
  return 0;
}

static toff_t size_bytes(thandle_t handle) { return ((tiff_source *)handle)->count; }

static int map_bytes(thandle_t handle, void **base, toff_t *count) {
  tiff_source *source = handle;
  *base = (void *)(uintptr_t)source->bytes;  // libtiff only reads what is mapped
  *count = source->count;
  return 1;
}

static void unmap_bytes(thandle_t handle, void *base, toff_t count) { (void)handle, (void)base, (void)count; }

static void on_error(thandle_t handle, const char *module, const char *format, va_list arguments) {
  (void)module;
  tiff_source *source = handle;
  if (source && !source->complaint[0]) fail_with(source->complaint, format, arguments);
}

// libtiff's handlers belong to the process; the error handler finds its file by the handle.
static void silence(void) {
  TIFFSetErrorHandler(NULL);
  TIFFSetWarningHandler(NULL);
  TIFFSetErrorHandlerExt(on_error);
}

static TIFF *open_bytes(tiff_source *source) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, silence);
  return TIFFClientOpen("", "r", source, read_bytes, write_bytes, seek_bytes, close_bytes, size_bytes, map_bytes,
                        unmap_bytes);
}

static int refuse_damaged(const tiff_source *source, char *message) {
  return fail(message, "damaged or cut short TIFF (%.150s)",
              source->complaint[0] ? source->complaint : "libtiff can't read it");
}

typedef struct {
  uint32_t width, height;  // as stored
  uint16_t bits, samples, photometric, compression, planar, orientation;
  int colours;   // 1 or 3, as stored
  int alpha;     // whether a sample of alpha follows them
  int weighted;  // whether the colours are multiplied with it
  int as_rgba;   // whether libtiff must turn it to RGB
} tiff_layout;

static int read_layout(TIFF *tif, tiff_layout *layout, uint64_t pixel_limit, char *message) {
  memset(layout, 0, sizeof *layout);
  TIFFGetField(tif, TIFFTAG_IMAGEWIDTH, &layout->width);
  TIFFGetField(tif, TIFFTAG_IMAGELENGTH, &layout->height);
  TIFFGetFieldDefaulted(tif, TIFFTAG_BITSPERSAMPLE, &layout->bits);
  TIFFGetFieldDefaulted(tif, TIFFTAG_SAMPLESPERPIXEL, &layout->samples);
  TIFFGetFieldDefaulted(tif, TIFFTAG_COMPRESSION, &layout->compression);
  TIFFGetFieldDefaulted(tif, TIFFTAG_PLANARCONFIG, &layout->planar);
  TIFFGetFieldDefaulted(tif, TIFFTAG_ORIENTATION, &layout->orientation);
  if (!TIFFGetField(tif, TIFFTAG_PHOTOMETRIC, &layout->photometric))
    layout->photometric = layout->samples >= 3 ? PHOTOMETRIC_RGB : PHOTOMETRIC_MINISBLACK;
  if (layout->orientation < 1 || layout->orientation > 8) layout->orientation = 1;
  if (check_extent(layout->width, layout->height, pixel_limit, message)) return -1;

  uint16_t sample_format = SAMPLEFORMAT_UINT, extra_count = 0, *extra = NULL;
  TIFFGetFieldDefaulted(tif, TIFFTAG_SAMPLEFORMAT, &sample_format);
  TIFFGetFieldDefaulted(tif, TIFFTAG_EXTRASAMPLES, &extra_count, &extra);
  // Bytes marked as signed are taken as they are, as Pillow takes them: microscopes' software marks them so
  // without meaning it.
  if (layout->bits <= 8 && (sample_format < SAMPLEFORMAT_UINT || sample_format > SAMPLEFORMAT_VOID ||
                            sample_format == SAMPLEFORMAT_IEEEFP))
    return fail(message, "a TIFF whose samples are not integers");
  switch (layout->photometric) {
    case PHOTOMETRIC_MINISBLACK:
    case PHOTOMETRIC_MINISWHITE:
    case PHOTOMETRIC_PALETTE: layout->colours = 1; break;
    case PHOTOMETRIC_RGB:
    case PHOTOMETRIC_YCBCR: layout->colours = 3; break;
    default: return fail(message, "a TIFF of photometric kind %d; grey, palette, RGB or YCbCr are read",
                         layout->photometric);
  }
  if (layout->samples < layout->colours || layout->samples > layout->colours + 1)
    return fail(message, "a TIFF with %d samples per pixel where %d or %d are expected", layout->samples,
                layout->colours, layout->colours + 1);
  if (layout->photometric == PHOTOMETRIC_PALETTE || layout->photometric == PHOTOMETRIC_YCBCR) {
    if (layout->samples != layout->colours) return fail(message, "a palette or YCbCr TIFF with alpha");
  } else if (layout->samples > layout->colours) {
    const uint16_t kind = extra_count > 0 && extra ? extra[0] : EXTRASAMPLE_UNASSALPHA;
    layout->alpha = kind == EXTRASAMPLE_ASSOCALPHA || kind == EXTRASAMPLE_UNASSALPHA;
    layout->weighted = kind == EXTRASAMPLE_ASSOCALPHA;
  }
  const int small = layout->samples == 1 && (layout->bits == 1 || layout->bits == 2 || layout->bits == 4);
  if (layout->bits < 8 && !small)
    return fail(message, "a TIFF with %d samples of %d bits per pixel", layout->samples, layout->bits);
  layout->as_rgba = layout->photometric == PHOTOMETRIC_YCBCR;
  return 0;
}

static int channels_of(const tiff_layout *layout) {
  return layout->photometric == PHOTOMETRIC_PALETTE ? 3 : layout->colours + layout->alpha;
}

int tiff_probe(const uint8_t *bytes, size_t count, uint64_t pixel_limit, cnn_image_info *info, char *message) {
  tiff_source source = {.bytes = bytes, .count = count};
  TIFF *tif = open_bytes(&source);
  if (!tif) return refuse_damaged(&source, message);
  tiff_layout layout;
  const int status = read_layout(tif, &layout, pixel_limit, message);
  if (status == 0) {
    const int turned = layout.orientation >= 5;
    info->width = turned ? layout.height : layout.width;
    info->height = turned ? layout.width : layout.height;
    info->channels = channels_of(&layout);
    info->bit_depth = layout.bits;
    info->pages = (int)TIFFNumberOfDirectories(tif);
  }
  TIFFClose(tif);
  return status;
}

// One row of a strip or tile, `width` pixels of `step` samples, into every `channels`-th byte.
static void unpack_row(const uint8_t *row, const tiff_layout *layout, uint32_t width, int step, int taken,
                       int channels, uint8_t *target) {
  if (layout->bits < 8) {
    // Grey levels are spread over 0 ... 255; palette indices stay what they are.
    const int bits = layout->bits, most = (1 << bits) - 1;
    const int scale = layout->photometric == PHOTOMETRIC_PALETTE ? 1 : 255 / most;
    for (uint32_t x = 0; x < width; x++) {
      const uint64_t bit = (uint64_t)x * (unsigned)bits;
      const int value = row[bit / 8] >> (8 - bits - (int)(bit % 8)) & most;
      target[(size_t)x * (unsigned)channels] = (uint8_t)(value * scale);
    }
  } else if (step == channels && taken == channels) {
    memcpy(target, row, (size_t)width * (unsigned)channels);
  } else {
    for (uint32_t x = 0; x < width; x++)
      for (int c = 0; c < taken; c++) target[(size_t)x * (unsigned)channels + c] = row[(size_t)x * (unsigned)step + c];
  }
}

// Strips or tiles, with the samples of a pixel side by side or in planes, into interleaved `pixels` of
// `channels` (a palette's indices take one).
static int read_chunks(TIFF *tif, const tiff_layout *layout, int channels, uint64_t pixel_limit, uint8_t *pixels,
                       const tiff_source *source, char *message) {
  const int tiled = TIFFIsTiled(tif), planes = layout->planar == PLANARCONFIG_SEPARATE ? channels : 1;
  uint32_t chunk_width = layout->width, chunk_height = layout->height;
  if (tiled) {
    TIFFGetField(tif, TIFFTAG_TILEWIDTH, &chunk_width);
    TIFFGetField(tif, TIFFTAG_TILELENGTH, &chunk_height);
    if (check_extent(chunk_width, chunk_height, pixel_limit, message)) return -1;
  } else {
    TIFFGetFieldDefaulted(tif, TIFFTAG_ROWSPERSTRIP, &chunk_height);
    if (chunk_height == 0 || chunk_height > layout->height) chunk_height = layout->height;
  }
  const int step = planes > 1 ? 1 : layout->planar == PLANARCONFIG_SEPARATE ? 1 : layout->samples;
  const tmsize_t row_bytes = ((tmsize_t)chunk_width * step * layout->bits + 7) / 8;
  const tmsize_t size = tiled ? TIFFTileSize(tif) : TIFFStripSize(tif);
  if (size < row_bytes * (tmsize_t)chunk_height) return refuse_damaged(source, message);
  uint8_t *chunk = calloc(1, (size_t)size);
  if (!chunk) return fail(message, "out of memory for %lld bytes", (long long)size);
  int status = 0;
  for (int plane = 0; plane < planes && status == 0; plane++)
    for (uint32_t top = 0; top < layout->height && status == 0; top += chunk_height) {
      const uint32_t rows = layout->height - top < chunk_height ? layout->height - top : chunk_height;
      for (uint32_t left = 0; left < layout->width; left += chunk_width) {
        const uint32_t columns = layout->width - left < chunk_width ? layout->width - left : chunk_width;
        const tmsize_t got =
            tiled ? TIFFReadEncodedTile(tif, TIFFComputeTile(tif, left, top, 0, (uint16_t)plane), chunk, size)
                  : TIFFReadEncodedStrip(tif, TIFFComputeStrip(tif, top, (uint16_t)plane), chunk, size);
        if (got < row_bytes * (tmsize_t)(tiled ? chunk_height : rows)) {
          status = refuse_damaged(source, message);
          break;
        }
        for (uint32_t y = 0; y < rows; y++) {
          uint8_t *target = pixels + ((size_t)(top + y) * layout->width + left) * (unsigned)channels + plane;
          unpack_row(chunk + row_bytes * (tmsize_t)y, layout, columns, step, planes > 1 ? 1 : channels, channels,
                     target);
        }
        if (chunk_width > UINT32_MAX - left) break;
      }
      if (chunk_height > UINT32_MAX - top) break;
    }
  free(chunk);
  return status;
}

static int read_rgba(TIFF *tif, const tiff_layout *layout, uint8_t *pixels, const tiff_source *source,
                     char *message) {
  char text[1024] = "";
  const size_t count = (size_t)layout->width * layout->height;
  TIFFRGBAImage image;
  if (!TIFFRGBAImageOK(tif, text) || !TIFFRGBAImageBegin(&image, tif, 1, text))
    return fail(message, "a TIFF that libtiff can't turn to RGB (%.120s)", text);
  uint32_t *raster = calloc(count, sizeof *raster);
  image.req_orientation = image.orientation;  // rows as stored: `orient` turns them later
  const int right = raster && TIFFRGBAImageGet(&image, raster, layout->width, layout->height);
  TIFFRGBAImageEnd(&image);
  for (size_t i = 0; right && i < count; i++) {
    pixels[3 * i] = (uint8_t)TIFFGetR(raster[i]);
    pixels[3 * i + 1] = (uint8_t)TIFFGetG(raster[i]);
    pixels[3 * i + 2] = (uint8_t)TIFFGetB(raster[i]);
  }
  free(raster);
  return right ? 0 : refuse_damaged(source, message);
}

// Palette entries have 16 bits; the upper 8 are taken.
static int look_up_palette(TIFF *tif, const tiff_layout *layout, uint8_t *pixels, char *message) {
  uint16_t *red = NULL, *green = NULL, *blue = NULL;
  if (!TIFFGetField(tif, TIFFTAG_COLORMAP, &red, &green, &blue) || !red || !green || !blue)
    return fail(message, "a palette TIFF without a palette");
  // Back to front in place: pixel i takes bytes 3i ..., its index lies at i.
  for (size_t i = (size_t)layout->width * layout->height; i-- > 0;) {
    const uint8_t index = pixels[i];
    pixels[3 * i] = (uint8_t)(red[index] >> 8);
    pixels[3 * i + 1] = (uint8_t)(green[index] >> 8);
    pixels[3 * i + 2] = (uint8_t)(blue[index] >> 8);
  }
  return 0;
}

static void divide_by_alpha(uint8_t *pixels, size_t count, int channels) {
  for (uint8_t *pixel = pixels; count-- > 0; pixel += channels) {
    const int alpha = pixel[channels - 1];
    for (int c = 0; c < channels - 1 && alpha != 255; c++) {
      const int value = alpha ? pixel[c] * 255 / alpha : 0;
      pixel[c] = (uint8_t)(value > 255 ? 255 : value);
    }
  }
}

// Turns stored rows the way up that the orientation tag (2 to 8) says.
static int orient(const tiff_layout *layout, int channels, uint8_t *pixels, char *message) {
  const size_t w = layout->width, h = layout->height, step = (size_t)channels, bytes = w * h * step;
  uint8_t *stored = malloc(bytes);
  if (!stored) return fail(message, "out of memory for %zu bytes", bytes);
  memcpy(stored, pixels, bytes);
  const int turned = layout->orientation >= 5, o = layout->orientation;
  const int mirrored = o == 2 || o == 3 || o == 7 || o == 8, flipped = o == 3 || o == 4 || o == 6 || o == 7;
  const size_t rows = turned ? w : h, columns = turned ? h : w;
  for (size_t y = 0; y < rows; y++)
    for (size_t x = 0; x < columns; x++) {
      size_t sx = turned ? y : x, sy = turned ? x : y;
      if (mirrored) sx = w - 1 - sx;
      if (flipped) sy = h - 1 - sy;
      memcpy(pixels + (y * columns + x) * step, stored + (sy * w + sx) * step, step);
    }
  free(stored);
  return 0;
}

static int read_pixels(TIFF *tif, const tiff_source *source, const cnn_image_info *info, uint8_t *pixels,
                       char *message) {
  const uint64_t pixel_limit = (uint64_t)info->width * info->height;
  tiff_layout layout;
  if (read_layout(tif, &layout, pixel_limit, message)) return -1;
  if (layout.bits > 8) return refuse_depth(layout.bits, message);
  const int turned = layout.orientation >= 5;
  const cnn_image_info now = {.width = turned ? layout.height : layout.width,
                              .height = turned ? layout.width : layout.height,
                              .channels = channels_of(&layout)};
  if (check_same(&now, info, message)) return -1;
  if (layout.as_rgba && layout.compression == COMPRESSION_JPEG && layout.planar == PLANARCONFIG_CONTIG) {
    TIFFSetField(tif, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
    layout.as_rgba = 0;
  }
  const int palette = layout.photometric == PHOTOMETRIC_PALETTE;
  // A tile may be larger than a small image.
  const uint64_t tile_limit = pixel_limit < 1 << 24 ? 1 << 24 : pixel_limit;
  if (layout.as_rgba ? read_rgba(tif, &layout, pixels, source, message)
                     : read_chunks(tif, &layout, palette ? 1 : now.channels, tile_limit, pixels, source, message))
    return -1;
  if (palette && look_up_palette(tif, &layout, pixels, message)) return -1;
  if (layout.photometric == PHOTOMETRIC_MINISWHITE)
    for (size_t i = 0; i < pixel_limit; i++) pixels[i * (unsigned)now.channels] ^= 0xff;
  if (layout.weighted) divide_by_alpha(pixels, pixel_limit, now.channels);
  return layout.orientation > 1 ? orient(&layout, now.channels, pixels, message) : 0;
}

int tiff_decode(const uint8_t *bytes, size_t count, const cnn_image_info *info, uint8_t *pixels, char *message) {
  tiff_source source = {.bytes = bytes, .count = count};
  TIFF *tif = open_bytes(&source);
  if (!tif) return refuse_damaged(&source, message);
  const int status = read_pixels(tif, &source, info, pixels, message);
  TIFFClose(tif);
  return status;
}
