/* runtime/image.c: PNG and JPEG files as bytes.
 *
 * in: a file in memory, recognised by its first bytes; the size and channels that are wanted
 * out: the red plane, the green, the blue; or one plane of grey. Parts of a PNG that are
 * transparent are black.
 * A picture of another size is refused: nothing is scaled.
 */
#include "runtime/private.h"

#include <string.h>
#ifdef DLRT_HAVE_PNG
#include <png.h>
#endif
#ifdef DLRT_HAVE_JPEG
#include <setjmp.h>
#include <stdio.h>

#include <jpeglib.h>
#endif

static bool is_png(const Bytes *file) {
    return file->size >= 8 && memcmp(file->data, "\x89PNG\r\n\x1a\n", 8) == 0;
}

static bool is_jpeg(const Bytes *file) {
    return file->size >= 3 && memcmp(file->data, "\xff\xd8\xff", 3) == 0;
}

#if defined DLRT_HAVE_PNG || defined DLRT_HAVE_JPEG
static bool check_size(const ImageWanted *wanted, const char *path, int64_t height, int64_t width,
                       DlrtError *error) {
    return (height == wanted->height && width == wanted->width) ||
           error_set(error, (Place){.path = path},
                     "this picture is %lld x %lld, and the model takes %lld x %lld (height x "
                     "width): scale it before",
                     (long long)height, (long long)width, (long long)wanted->height,
                     (long long)wanted->width);
}

/* One row, pixel after pixel, into the planes. */
static void put_row(const ImageWanted *wanted, const unsigned char *row, int64_t y,
                    unsigned char *to) {
    int64_t plane = wanted->height * wanted->width;
    for (int64_t x = 0; x < wanted->width; x++)
        for (int64_t c = 0; c < wanted->channels; c++)
            to[c * plane + y * wanted->width + x] = row[x * wanted->channels + c];
}

static bool fail_damaged(const char *path, const char *kind, const char *why, DlrtError *error) {
    return error_set(error, (Place){.path = path}, "this %s file is damaged: %s", kind,
                     error_quote(why).text);
}
#endif

#ifdef DLRT_HAVE_PNG
static bool read_png(const Bytes *file, const char *path, const ImageWanted *wanted,
                     unsigned char *to, DlrtError *error) {
    png_image image = {.version = PNG_IMAGE_VERSION};
    png_color black = {0, 0, 0};
    Pool pool = {0};
    if (!png_image_begin_read_from_memory(&image, file->data, file->size))
        return fail_damaged(path, "PNG", image.message, error);
    bool good = check_size(wanted, path, image.height, image.width, error);
    if (good) {
        image.format = wanted->channels == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
        int64_t row = wanted->width * wanted->channels;
        unsigned char *pixels = pool_take(&pool, wanted->height, (size_t)row);
        if (!pixels) {
            good = error_memory(error, "a picture");
        } else if (!png_image_finish_read(&image, &black, pixels, 0, NULL)) {
            good = fail_damaged(path, "PNG", image.message, error);
        } else {
            for (int64_t y = 0; y < wanted->height; y++) put_row(wanted, pixels + y * row, y, to);
        }
        pool_free(&pool);
    }
    png_image_free(&image);
    return good;
}
#else
static bool read_png(const Bytes *file, const char *path, const ImageWanted *wanted,
                     unsigned char *to, DlrtError *error) {
    return error_set(error, (Place){.path = path},
                     "this build cannot read PNG files: it was made without libpng (Debian: "
                     "libpng-dev)");
}
#endif

#ifdef DLRT_HAVE_JPEG
typedef struct JpegErrors {
    struct jpeg_error_mgr manager;
    jmp_buf back;
    char message[JMSG_LENGTH_MAX];
} JpegErrors;

static void on_jpeg_error(j_common_ptr info) {
    JpegErrors *errors = (JpegErrors *)info->err;
    errors->manager.format_message(info, errors->message);
    longjmp(errors->back, 1);
}

/* Warnings: what the file lacks is not made up. */
static void on_jpeg_warning(j_common_ptr info, int level) {
    if (level < 0) on_jpeg_error(info);
}

/* Everything that is used behind a jump lives outside of this function. */
static int decode_jpeg(struct jpeg_decompress_struct *info, JpegErrors *errors, const Bytes *file,
                       const char *path, const ImageWanted *wanted, unsigned char *to,
                       unsigned char *row, DlrtError *error) {
    if (setjmp(errors->back)) return -1;
    jpeg_create_decompress(info);
    jpeg_mem_src(info, file->data, file->size);
    jpeg_read_header(info, TRUE);
    if (!check_size(wanted, path, info->image_height, info->image_width, error)) return 0;
    info->out_color_space = wanted->channels == 3 ? JCS_RGB : JCS_GRAYSCALE;
    jpeg_start_decompress(info);
    while (info->output_scanline < info->output_height) {
        int64_t y = info->output_scanline;
        jpeg_read_scanlines(info, &row, 1);
        put_row(wanted, row, y, to);
    }
    jpeg_finish_decompress(info);
    return 1;
}

static bool read_jpeg(const Bytes *file, const char *path, const ImageWanted *wanted,
                      unsigned char *to, DlrtError *error) {
    struct jpeg_decompress_struct info = {0};
    JpegErrors errors;
    Pool pool = {0};
    unsigned char *row = pool_take(&pool, wanted->width, (size_t)wanted->channels);
    if (!row) return error_memory(error, "a picture");
    info.err = jpeg_std_error(&errors.manager);
    errors.manager.error_exit = on_jpeg_error;
    errors.manager.emit_message = on_jpeg_warning;
    int done = decode_jpeg(&info, &errors, file, path, wanted, to, row, error);
    jpeg_destroy_decompress(&info);
    pool_free(&pool);
    return done > 0 || (done < 0 && fail_damaged(path, "JPEG", errors.message, error));
}
#else
static bool read_jpeg(const Bytes *file, const char *path, const ImageWanted *wanted,
                      unsigned char *to, DlrtError *error) {
    return error_set(error, (Place){.path = path},
                     "this build cannot read JPEG files: it was made without libjpeg (Debian: "
                     "libjpeg-dev)");
}
#endif

bool image_decode(const Bytes *file, const char *path, const ImageWanted *wanted, unsigned char *to,
                  DlrtError *error) {
    if (is_png(file)) return read_png(file, path, wanted, to, error);
    if (is_jpeg(file)) return read_jpeg(file, path, wanted, to, error);
    return error_set(error, (Place){.path = path}, "this is neither a PNG nor a JPEG file");
}
