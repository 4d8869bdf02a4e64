/* tests/unit/idx.c: arrays of numbers in IDX files: types, shapes, compression, damage. */
#include "data.h"

#include "runtime/private.h"

#include <sys/stat.h>
#include <zlib.h>

/* x[2, 3] and y: class(4), from the files x.idx and y.idx. */
typedef struct Case {
    DlrtArgument arguments[3];
    uint32_t narguments;
    DlrtScale scale;
    const char *path;
    int64_t classes; /* of x; 0: real numbers */
    DlrtError error;
} Case;

static DlrtData *open_case(Case *c) {
    static const DlrtArgument both[] = {{.kind = DLRT_STRING, .string = "x.idx"},
                                        {.kind = DLRT_STRING, .string = "y.idx"}};
    DlrtPort inputs[] = {test_port("x", DIMS(2, 3), c->classes)};
    DlrtPort targets[] = {test_port("y", SCALAR, 4)};
    DlrtModel model = {.name = "m",
                       .real_bytes = 4,
                       .max_batch = 4,
                       .ninputs = 1,
                       .ntargets = 1,
                       .inputs = inputs,
                       .targets = targets};
    DlrtSource source = {.is_split = true,
                         .reader = "idx",
                         .nargs = c->narguments ? c->narguments : 2,
                         .args = c->narguments ? c->arguments : both};
    DlrtDataSpec spec = {.name = "d",
                         .folder = test_folder,
                         .nsources = 1,
                         .sources = &source,
                         .scales = &c->scale,
                         .nscales = c->scale.port != NULL};
    return dlrt_data_open(&spec, &model, c->path, 1, &c->error);
}

/* ---- files --------------------------------------------------------------------------------- */

typedef struct File {
    unsigned char bytes[4096];
    size_t size;
} File;

static void put(File *f, uint64_t value, int bytes) {
    for (int i = bytes; i-- > 0;) f->bytes[f->size++] = (unsigned char)(value >> 8 * i);
}

/* The header of an array of rank dimensions. */
static File file_begin(int type, int rank, const uint32_t *dims) {
    File f = {.size = 0};
    put(&f, (uint64_t)type << 8 | (uint64_t)rank, 4);
    for (int i = 0; i < rank; i++) put(&f, dims[i], 4);
    return f;
}

/* n x 2 x 3 bytes 0, 1, 2, … */
static File images(uint32_t n) {
    File f = file_begin(0x08, 3, (uint32_t[]){n, 2, 3});
    for (uint32_t i = 0; i < n * 6; i++) put(&f, i, 1);
    return f;
}

static File labels(uint32_t n) {
    File f = file_begin(0x08, 1, (uint32_t[]){n});
    for (uint32_t i = 0; i < n; i++) put(&f, i % 4, 1);
    return f;
}

static void save(const char *name, const File *f) {
    test_write(name, f->bytes, f->size);
}

static void save_packed(const char *name, const void *bytes, size_t size) {
    gzFile file = gzopen(test_path(name), "wb");
    if (!file || gzwrite(file, bytes, (unsigned)size) != (int)size || gzclose(file) != Z_OK)
        exit(2);
}

static void save_both(uint32_t n) {
    File x = images(n), y = labels(n);
    save("x.idx", &x);
    save("y.idx", &y);
}

static float x_at(const DlrtData *data, int64_t example, int64_t element) {
    return ((const float *)dlrt_data_example(data, DLRT_TRAIN, 0, example))[element];
}

/* ---- tests --------------------------------------------------------------------------------- */

#define EXPECT_BAD(c, part)                                                                        \
    do {                                                                                           \
        DlrtData *bad_ = open_case(c);                                                             \
        EXPECT(!bad_);                                                                             \
        EXPECT_ERROR((c)->error, part);                                                            \
        dlrt_data_close(bad_);                                                                     \
    } while (0)

static void expect_images(Case *c, int64_t n) {
    DlrtData *data = open_case(c);
    EXPECT_STR(c->error.message, "");
    if (!data) return;
    EXPECT_INT(dlrt_data_count(data, DLRT_TRAIN), n);
    for (int64_t i = 0; i < n; i++) {
        for (int64_t e = 0; e < 6; e++)
            EXPECT_NEAR(x_at(data, i, e), (double)((i * 6 + e) % 256), 0);
        EXPECT_INT(*(const int32_t *)dlrt_data_example(data, DLRT_TRAIN, 1, i), i % 4);
    }
    dlrt_data_close(data);
}

static void test_plain(void) {
    Case c = {0};
    save_both(5);
    expect_images(&c, 5);
    c.arguments[0] = (DlrtArgument){"y", DLRT_STRING, 0, "y.idx", false};
    c.arguments[1] = (DlrtArgument){.kind = DLRT_STRING, .string = "x.idx"};
    c.narguments = 2;
    expect_images(&c, 5);
    /* --data names the folder. */
    c.path = test_folder;
    expect_images(&c, 5);
}

static void test_packed(void) {
    Case c = {0};
    File x = images(7), y = labels(7);
    /* Content decides, not the name. */
    save_packed("x.idx", x.bytes, x.size);
    save("y.idx", &y);
    expect_images(&c, 7);
    /* `x.idx` may lie there as `x.idx.gz`. */
    unlink(test_path("x.idx"));
    save_packed("x.idx.gz", x.bytes, x.size);
    expect_images(&c, 7);
    unlink(test_path("x.idx.gz"));
    save("x.idx", &x);
    c.arguments[0] = (DlrtArgument){.kind = DLRT_STRING, .string = "x.idx.gz"};
    c.arguments[1] = (DlrtArgument){.kind = DLRT_STRING, .string = "y.idx.gz"};
    c.narguments = 2;
    expect_images(&c, 7);
}

static void put_value(File *f, int type, double value) {
    float narrow = (float)value;
    uint64_t wide_bits;
    uint32_t narrow_bits;
    memcpy(&wide_bits, &value, 8);
    memcpy(&narrow_bits, &narrow, 4);
    switch (type) {
    case 0x08:
    case 0x09: put(f, (uint64_t)(int64_t)value, 1); break;
    case 0x0B: put(f, (uint64_t)(int64_t)value, 2); break;
    case 0x0C: put(f, (uint64_t)(int64_t)value, 4); break;
    case 0x0D: put(f, narrow_bits, 4); break;
    case 0x0E: put(f, wide_bits, 8); break;
    }
}

static void test_types(void) {
    static const int types[] = {0x08, 0x09, 0x0B, 0x0C, 0x0D, 0x0E};
    static const double values[][6] = {
        {0, 1, 127, 128, 200, 255},        {0, -1, 127, -128, 5, -6},
        {0, -1, 32767, -32768, 300, -300}, {0, -1, 8388608, -8388608, 70000, -70000},
        {0, -1.5, 1e30, -1e-30, 0.1f, 3},  {0, -1.5, 1e30, -1e-30, 0.1, 3}};
    for (int t = 0; t < 6; t++) {
        Case c = {0};
        File x = file_begin(types[t], 3, (uint32_t[]){1, 2, 3}), y = labels(1);
        for (int e = 0; e < 6; e++) put_value(&x, types[t], values[t][e]);
        save("x.idx", &x);
        save("y.idx", &y);
        DlrtData *data = open_case(&c);
        EXPECT_STR(c.error.message, "");
        for (int e = 0; data && e < 6; e++)
            EXPECT_NEAR(x_at(data, 0, e), (double)(float)values[t][e], 0);
        dlrt_data_close(data);
    }
}

static void test_values(void) {
    Case c = {.scale = {.port = "x", .factor = 0.5, .offset = 1}};
    save_both(2);
    DlrtData *data = open_case(&c);
    if (data) EXPECT_NEAR(x_at(data, 1, 5), 11 * 0.5 + 1, 0);
    if (data) EXPECT_NEAR(dlrt_data_unscale(data, 0, 5, x_at(data, 1, 5)), 11, 0);
    dlrt_data_close(data);
    Case bad = {0};
    File y = labels(2);
    y.bytes[y.size - 1] = 4;
    save("y.idx", &y);
    EXPECT_BAD(&bad, "example 2 has class 4, but `y` takes classes 0 to 3");
    static const double broken[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3; i++) {
        File x = file_begin(0x0E, 3, (uint32_t[]){1, 2, 3});
        y = labels(1);
        for (int e = 0; e < 6; e++) put_value(&x, 0x0E, e == 3 ? broken[i] : 0);
        save("x.idx", &x);
        save("y.idx", &y);
        EXPECT_BAD(&bad, "example 1 has a value that is not a finite number");
    }
    File half = file_begin(0x0D, 1, (uint32_t[]){1});
    put_value(&half, 0x0D, 0.5);
    save("y.idx", &half);
    save_both(1);
    save("y.idx", &half);
    EXPECT_BAD(&bad, "example 1 has class 0.5");
    /* Too large for a float. */
    File large = file_begin(0x0E, 3, (uint32_t[]){1, 2, 3});
    for (int e = 0; e < 6; e++) put_value(&large, 0x0E, 1e39);
    save_both(1);
    save("x.idx", &large);
    EXPECT_BAD(&bad, "too large for the model's 32-bit numbers");
}

static void test_shapes(void) {
    Case c = {0};
    save_both(3);
    File x = file_begin(0x08, 2, (uint32_t[]){3, 6});
    for (int i = 0; i < 18; i++) put(&x, (uint64_t)i, 1);
    save("x.idx", &x); /* flat, but as many numbers */
    expect_images(&c, 3);
    x = file_begin(0x08, 3, (uint32_t[]){3, 3, 3});
    for (int i = 0; i < 27; i++) put(&x, 0, 1);
    save("x.idx", &x);
    EXPECT_BAD(&c,
               "an example here has 9 numbers (the file is 3 x 3 x 3), but `x` takes 6 (2 x 3)");
    File y = labels(4);
    save_both(3);
    save("y.idx", &y);
    EXPECT_BAD(&c, "4 examples here, but 3 in");
    x = file_begin(0x08, 3, (uint32_t[]){0, 2, 3});
    save("x.idx", &x);
    EXPECT_BAD(&c, "holds no examples (0 x 2 x 3)");
}

/* ---- damage -------------------------------------------------------------------------------- */

static void test_headers(void) {
    Case c = {0};
    save_both(2);
    test_write("x.idx", "", 0);
    EXPECT_BAD(&c, "this is no IDX file: it has only 0 bytes");
    test_write("x.idx", "\0\0\x08", 3);
    EXPECT_BAD(&c, "only 3 bytes");
    test_write("x.idx", "P5 2 3 255 ", 11);
    EXPECT_BAD(&c, "begins with the bytes 50 35 instead of 00 00");
    test_write("x.idx", "\0\0\x07\x01\0\0\0\x01\0", 9);
    EXPECT_BAD(&c, "its third byte, the type, is 07");
    test_write("x.idx", "\0\0\x08\0", 4);
    EXPECT_BAD(&c, "no dimensions");
    test_write("x.idx", "\0\0\x08\x03\0\0\0\x02\0\0", 10);
    EXPECT_BAD(&c, "ends within its header: 3 dimensions take 16 bytes, found 10");
    test_write("x.idx", "\0\0\x08\xff", 4);
    EXPECT_BAD(&c, "255 dimensions take 1024 bytes, found 4");
}

/* What a header promises is not believed. */
static void test_promises(void) {
    Case c = {0};
    save_both(2);
    File x = file_begin(0x0E, 3, (uint32_t[]){0xffffffff, 0xffffffff, 0xffffffff});
    save("x.idx", &x);
    EXPECT_BAD(&c, "more than can be read");
    x = file_begin(0x0E, 3, (uint32_t[]){0xffffffff, 2, 3});
    put(&x, 0, 8);
    save("x.idx", &x);
    EXPECT_BAD(&c, "cut off");
    uint32_t dims[255];
    for (int i = 0; i < 255; i++) dims[i] = 0x10000;
    x = file_begin(0x08, 255, dims);
    save("x.idx", &x);
    EXPECT_BAD(&c, "more than can be read");
    dims[200] = 0; /* the product is 0, whatever its factors */
    x = file_begin(0x08, 255, dims);
    save("x.idx", &x);
    EXPECT_BAD(&c, "");
    EXPECT(c.error.message[0]);
}

static void test_cuts(void) {
    Case c = {0};
    File x = images(4);
    save_both(4);
    for (size_t size = 0; size < x.size; size++) {
        test_write("x.idx", x.bytes, size);
        EXPECT_BAD(&c, size < 4 ? "no IDX file" : size < 16 ? "within its header" : "cut off");
    }
    put(&x, 0, 1);
    save("x.idx", &x);
    EXPECT_BAD(&c, "longer than its header says");
}

static void test_packed_damage(void) {
    Case c = {0};
    unsigned char packed[4096];
    File x = images(100);
    save_both(100);
    save_packed("x.idx", x.bytes, x.size);
    FILE *file = fopen(test_path("x.idx"), "rb");
    size_t size = file ? fread(packed, 1, sizeof packed, file) : 0;
    if (file) fclose(file);
    EXPECT(size > 40 && size < sizeof packed);
    expect_images(&c, 100);
    for (size_t cut = 0; cut < size; cut++) {
        test_write("x.idx", packed, cut);
        EXPECT_BAD(&c, "");
        EXPECT(c.error.message[0]);
    }
    for (size_t at = 10; at < size; at++) {
        packed[at] ^= 0x55;
        test_write("x.idx", packed, size);
        DlrtData *data = open_case(&c); /* a checksum tells; at the least nothing crashes */
        EXPECT(!data);
        dlrt_data_close(data);
        packed[at] ^= 0x55;
    }
    packed[size / 2] ^= 0xff;
    test_write("x.idx", packed, size);
    EXPECT_BAD(&c, "the compressed data is damaged: ");
}

static void test_files(void) {
    Case c = {0};
    save_both(2);
    unlink(test_path("y.idx"));
    EXPECT_BAD(&c, "this file of data `d` is not there");
    EXPECT(c.error.missing_file);
    mkdir(test_path("y.idx"), 0777);
    EXPECT_BAD(&c, "this is a folder, not a file");
    rmdir(test_path("y.idx"));
    save_both(2);
    c.path = test_path("x.idx");
    EXPECT_BAD(&c, "give the folder they are in, not a file");
    c.path = NULL;
    c.narguments = 1;
    c.arguments[0] = (DlrtArgument){.kind = DLRT_STRING, .string = "x.idx"};
    EXPECT_BAD(&c, "idx has no file for `y`");
    c.narguments = 3;
    c.arguments[1] = c.arguments[2] = c.arguments[0];
    EXPECT_BAD(&c, "more files than the model has inputs and targets (2)");
    c.narguments = 2;
    c.arguments[0].name = "z";
    EXPECT_BAD(&c, "`z` is no input or target");
    c.arguments[0] = c.arguments[1] = (DlrtArgument){"x", DLRT_STRING, 0, "x.idx", false};
    EXPECT_BAD(&c, "`x` is given twice");
    c.arguments[0] = (DlrtArgument){.kind = DLRT_NUMBER, .number = 3};
    EXPECT_BAD(&c, "idx takes names of files");
}

/* A class(K) input has one class per element. */
static void test_class_input(void) {
    Case c = {.classes = 12};
    save_both(2);
    DlrtData *data = open_case(&c);
    EXPECT_STR(c.error.message, "");
    if (data) EXPECT_INT(((const int32_t *)dlrt_data_example(data, DLRT_TRAIN, 0, 1))[5], 11);
    dlrt_data_close(data);
    c.classes = 11;
    EXPECT_BAD(&c, "example 2 has class 11, but `x` takes classes 0 to 10");
}

static void test_mnist(const char *folder) {
    char path[512];
    DlrtPort inputs[] = {test_port("x", DIMS(28, 28), 0)};
    DlrtPort targets[] = {test_port("y", SCALAR, 10)};
    DlrtModel model = {.name = "m",
                       .real_bytes = 4,
                       .max_batch = 4,
                       .ninputs = 1,
                       .ntargets = 1,
                       .inputs = inputs,
                       .targets = targets};
    DlrtArgument arguments[] = {{.kind = DLRT_STRING, .string = "t10k-images-idx3-ubyte.gz"},
                                {.kind = DLRT_STRING, .string = "t10k-labels-idx1-ubyte.gz"}};
    DlrtSource source = {.part = DLRT_TEST, .reader = "idx", .nargs = 2, .args = arguments};
    DlrtScale scale = {.port = "x", .factor = 1.0 / 255};
    DlrtDataSpec spec = {.nsources = 1, .sources = &source, .nscales = 1, .scales = &scale};
    DlrtError error;
    snprintf(path, sizeof path, "%s/mnist", folder);
    DlrtData *data = dlrt_data_open(&spec, &model, path, 1, &error);
    EXPECT_STR(error.message, "");
    if (!data) return;
    EXPECT_INT(dlrt_data_count(data, DLRT_TEST), 10000);
    EXPECT_INT(dlrt_data_count(data, DLRT_TRAIN), 0);
    EXPECT_INT(*(const int32_t *)dlrt_data_example(data, DLRT_TEST, 1, 0), 7);
    double sum = 0;
    int sevens = 0;
    for (int64_t i = 0; i < 10000; i++) {
        const float *x = dlrt_data_example(data, DLRT_TEST, 0, i);
        for (int e = 0; e < 784; e++) sum += x[e];
        sevens += *(const int32_t *)dlrt_data_example(data, DLRT_TEST, 1, i) == 7;
    }
    EXPECT_NEAR(sum / 7840000, 0.1325, 1e-4);
    EXPECT_INT(sevens, 1028);
    dlrt_data_close(data);
}

int main(void) {
    test_folder_begin();
    test_plain();
    test_packed();
    test_types();
    test_values();
    test_shapes();
    test_headers();
    test_promises();
    test_cuts();
    test_packed_damage();
    test_files();
    test_class_input();
    const char *folder = test_data();
    if (folder) test_mnist(folder);
    test_folder_end();
    TEST_END();
}
