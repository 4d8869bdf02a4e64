/* runtime/sheet.c: many pictures as one PNG file, a sheet.
 *
 * in:   count pictures, [channels, height, width] in 0..1 each, channels 1 or 3
 * out:  a file with them row by row, as square as it gets, one grey pixel between two
 * Values outside 0..1 are cut, NaN is black. The file is written aside and renamed.
 */
#include "runtime/private.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef DLRT_HAVE_PNG
#include <png.h>

enum { GAP = 1, GREY = 128 };

typedef struct Sheet {
    int64_t columns, rows, width, height; /* of the whole, in pixels */
    unsigned char *bytes;
} Sheet;

static unsigned char byte_of(float value) {
    if (!(value > 0)) return 0;
    return value >= 1 ? 255 : (unsigned char)lrintf(value * 255);
}

static void place(Sheet *sheet, const DlrtPictures *p, int64_t number) {
    const float *picture = p->values + number * p->channels * p->height * p->width;
    int64_t top = number / sheet->columns * (p->height + GAP);
    int64_t left = number % sheet->columns * (p->width + GAP);
    for (int64_t c = 0; c < p->channels; c++)
        for (int64_t y = 0; y < p->height; y++)
            for (int64_t x = 0; x < p->width; x++)
                sheet->bytes[((top + y) * sheet->width + left + x) * p->channels + c] =
                    byte_of(picture[(c * p->height + y) * p->width + x]);
}

static bool lay_out(Sheet *sheet, const DlrtPictures *p) {
    sheet->columns = (int64_t)ceil(sqrt((double)p->count));
    sheet->rows = (p->count + sheet->columns - 1) / sheet->columns;
    sheet->width = sheet->columns * (p->width + GAP) - GAP;
    sheet->height = sheet->rows * (p->height + GAP) - GAP;
    int64_t size = size_product(size_product(sheet->width, sheet->height), p->channels);
    if (sheet->width > 1 << 20 || sheet->height > 1 << 20 || size > (int64_t)1 << 31) return false;
    sheet->bytes = malloc((size_t)size);
    if (!sheet->bytes) return false;
    memset(sheet->bytes, GREY, (size_t)size);
    for (int64_t i = 0; i < p->count; i++) place(sheet, p, i);
    return true;
}

static bool write_png(const Sheet *sheet, const DlrtPictures *p, const char *path,
                      DlrtError *error) {
    png_image image = {.version = PNG_IMAGE_VERSION,
                       .width = (png_uint_32)sheet->width,
                       .height = (png_uint_32)sheet->height,
                       .format = p->channels == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY};
    char aside[600];
    snprintf(aside, sizeof aside, "%s.%ld.part", path, (long)getpid());
    if (!png_image_write_to_file(&image, aside, 0, sheet->bytes, 0, NULL)) {
        unlink(aside);
        return error_set(error, (Place){.path = path}, "cannot write the picture: %s",
                         image.message);
    }
    if (rename(aside, path) == 0) return true;
    unlink(aside);
    return error_set(error, (Place){.path = path}, "cannot write the picture: %s", strerror(errno));
}

bool dlrt_write_sheet(const DlrtPictures *p, const char *path, DlrtError *error) {
    Sheet sheet = {0};
    bool good =
        p->count > 0 && p->height > 0 && p->width > 0 && (p->channels == 1 || p->channels == 3);
    if (!good)
        return error_set(error, (Place){0},
                         "a picture has one or three channels, and there is at least one");
    if (!lay_out(&sheet, p))
        return error_set(error, (Place){.path = path},
                         "%lld pictures of %lld x %lld are too large for one sheet",
                         (long long)p->count, (long long)p->width, (long long)p->height);
    good = write_png(&sheet, p, path, error);
    free(sheet.bytes);
    return good;
}
#else
bool dlrt_write_sheet(const DlrtPictures *p, const char *path, DlrtError *error) {
    return error_set(
        error, (Place){.path = path},
        "this build cannot write PNG files: it was made without libpng (Debian: libpng-dev)");
}
#endif
