/* tests/unit/images.c: folders of pictures, a sub-folder a class. */
#include "data.h"

#include "runtime/private.h"

#include <sys/stat.h>
#include <zlib.h>

typedef struct Case {
    const int64_t *dims;
    int64_t classes;
    const char *path;
    uint32_t nsources;
    DlrtError error;
} Case;

/* Train from the folder "train", or from the whole of `path`; test from "test". */
static DlrtData *open_case(Case *c) {
    DlrtPort input = test_port("x", c->dims, 0), target = test_port("y", SCALAR, c->classes);
    DlrtModel model = {.name = "m",
                       .real_bytes = 4,
                       .max_batch = 4,
                       .ninputs = 1,
                       .ntargets = 1,
                       .inputs = &input,
                       .targets = &target};
    static const DlrtArgument folders[] = {{.kind = DLRT_STRING, .string = "train"},
                                           {.kind = DLRT_STRING, .string = "test"}};
    DlrtSource sources[] = {
        {.part = DLRT_TRAIN, .reader = "images", .nargs = 1, .args = &folders[0]},
        {.part = DLRT_TEST, .reader = "images", .nargs = 1, .args = &folders[1]}};
    DlrtDataSpec spec = {.name = "d",
                         .folder = test_folder,
                         .nsources = c->nsources ? c->nsources : 1,
                         .sources = sources};
    return dlrt_data_open(&spec, &model, c->path, 1, &c->error);
}

/* ---- files ----------------------------------------------------------------------------------- */

typedef struct File {
    unsigned char bytes[4096];
    size_t size;
} File;

static void put(File *f, const void *bytes, size_t size) {
    memcpy(f->bytes + f->size, bytes, size);
    f->size += size;
}

static void put_number(File *f, uint32_t value) {
    for (int i = 4; i-- > 0;) f->bytes[f->size++] = (unsigned char)(value >> (8 * i));
}

static void put_chunk(File *f, const char *type, const void *data, size_t size) {
    put_number(f, (uint32_t)size);
    size_t begin = f->size;
    put(f, type, 4);
    put(f, data, size);
    put_number(f, (uint32_t)crc32(0, f->bytes + begin, (uInt)(f->size - begin)));
}

/* PNG of 8 bits: channels 1: grey, 3: colour, 4: colour and how opaque. */
static File picture(uint32_t width, uint32_t height, int channels, const unsigned char *pixels) {
    unsigned char rows[1024], packed[2048];
    uLongf size = sizeof packed;
    size_t row = width * (size_t)channels;
    File f = {.size = 0}, header = {.size = 0};
    for (uint32_t y = 0; y < height; y++) {
        rows[y * (row + 1)] = 0;
        memcpy(rows + y * (row + 1) + 1, pixels + y * row, row);
    }
    compress(packed, &size, rows, height * (row + 1));
    put_number(&header, width);
    put_number(&header, height);
    put(&header, channels == 1 ? "\10\0\0\0" : channels == 3 ? "\10\2\0\0" : "\10\6\0\0", 5);
    put(&f, "\x89PNG\r\n\x1a\n", 8);
    put_chunk(&f, "IHDR", header.bytes, header.size);
    put_chunk(&f, "IDAT", packed, size);
    put_chunk(&f, "IEND", "", 0);
    return f;
}

static void make_folder(const char *name) {
    mkdir(test_path(name), 0700);
}

static void write_file(const char *name, const File *f) {
    test_write(name, f->bytes, f->size);
}

static void write_grey(const char *name, unsigned char first) {
    unsigned char pixels[6];
    for (int i = 0; i < 6; i++) pixels[i] = (unsigned char)(first + i);
    File f = picture(3, 2, 1, pixels);
    write_file(name, &f);
}

static float value(const DlrtData *data, DlrtPart part, int64_t example, int i) {
    return ((const float *)dlrt_data_example(data, part, 0, example))[i];
}

static int32_t class_of(const DlrtData *data, DlrtPart part, int64_t example) {
    return *(const int32_t *)dlrt_data_example(data, part, 1, example);
}

/* ---- folders --------------------------------------------------------------------------------- */

static void test_folders(void) {
    Case c = {.dims = DIMS(2, 3), .classes = 3, .nsources = 2};
    static const char *const folders[] = {"train",     "train/dog", "train/cat", "test",
                                          "test/bird", "test/dog",  "train/none"};
    for (int i = 0; i < 7; i++) make_folder(folders[i]);
    write_grey("train/dog/b.png", 20);
    write_grey("train/dog/a.png", 10);
    write_grey("train/cat/c.png", 30);
    write_grey("test/bird/a.png", 40);
    write_grey("test/dog/a.png", 50);
    test_write_text("train/cat/.hidden", "no picture");
    test_write_text("train/readme.txt", "beside the classes");
    DlrtData *data = open_case(&c);
    EXPECT_STR(c.error.message, "");
    if (!data) return;
    EXPECT_INT(dlrt_data_count(data, DLRT_TRAIN), 3);
    EXPECT_INT(dlrt_data_count(data, DLRT_TEST), 2);
    /* Classes are the names of all sources, sorted; a class without a picture is none. */
    EXPECT_STR(dlrt_data_class(data, 1, 0), "bird");
    EXPECT_STR(dlrt_data_class(data, 1, 1), "cat");
    EXPECT_STR(dlrt_data_class(data, 1, 2), "dog");
    static const float first[] = {30, 10, 20};
    static const int classes[] = {1, 2, 2};
    for (int k = 0; k < 3; k++) {
        EXPECT_INT(class_of(data, DLRT_TRAIN, k), classes[k]);
        for (int i = 0; i < 6; i++)
            EXPECT_NEAR(value(data, DLRT_TRAIN, k, i), first[k] + (float)i, 0);
    }
    EXPECT_INT(class_of(data, DLRT_TEST, 0), 0);
    EXPECT_INT(class_of(data, DLRT_TEST, 1), 2);
    dlrt_data_close(data);
}

/* Planes of colour; what is transparent is black; grey becomes three equal planes. */
static void test_colours(void) {
    static const unsigned char rgb[] = {1, 2, 3, 4, 5, 6}, faint[] = {9, 8, 7, 255, 9, 8, 7, 0};
    static const float planes[] = {1, 4, 2, 5, 3, 6}, shown[] = {9, 0, 8, 0, 7, 0};
    Case c = {.dims = DIMS(3, 1, 2), .classes = 2};
    make_folder("train/dog");
    File f = picture(2, 1, 3, rgb);
    write_file("train/dog/a.png", &f);
    f = picture(2, 1, 4, faint);
    write_file("train/dog/b.png", &f);
    f = picture(2, 1, 1, rgb);
    write_file("train/dog/c.png", &f);
    DlrtData *data = open_case(&c);
    EXPECT_STR(c.error.message, "");
    for (int i = 0; data && i < 6; i++) {
        EXPECT_NEAR(value(data, DLRT_TRAIN, 0, i), planes[i], 0);
        EXPECT_NEAR(value(data, DLRT_TRAIN, 1, i), shown[i], 0);
        EXPECT_NEAR(value(data, DLRT_TRAIN, 2, i), (float)(i % 2 + 1), 0);
    }
    dlrt_data_close(data);
}

static void refused(Case c, const char *part) {
    EXPECT(open_case(&c) == NULL);
    EXPECT_ERROR(c.error, part);
}

static void empty_train(void) {
    char command[256];
    snprintf(command, sizeof command, "rm -rf '%s/train'/*", test_folder);
    if (system(command) != 0) exit(2);
}

static void test_refused(void) {
    Case c = {.dims = DIMS(2, 3), .classes = 2};
    empty_train();
    refused(c, "there are no pictures in the folders of this folder");
    make_folder("train/a"), make_folder("train/b"), make_folder("train/c");
    write_grey("train/a/1.png", 0);
    write_grey("train/b/1.png", 0);
    write_grey("train/c/1.png", 0);
    refused(c, "there are 3 folders with pictures, but `y` is class(2)");
    c.classes = 3;
    c.dims = DIMS(3, 2);
    refused(c, "this picture is 2 x 3, and the model takes 3 x 2 (height x width)");
    c.dims = DIMS(2, 2, 3);
    refused(c, "images is for a model with one input of 1 or 3 channels");
    c.dims = DIMS(2, 3);
    test_write_text("train/b/2.png", "GIF89a");
    refused(c, "this is neither a PNG nor a JPEG file");
    File f = picture(3, 2, 1, (const unsigned char *)"abcdef");
    f.size -= 20;
    write_file("train/b/2.png", &f);
    refused(c, "this PNG file is damaged");
    test_write("train/b/2.png", "\xff\xd8\xff\xe0", 4);
    refused(c, "this JPEG file is damaged");
    test_write_text("train/b/2.png", "");
    refused(c, "this is neither a PNG nor a JPEG file");
    empty_train();
    rmdir(test_path("train"));
    refused(c, "this file of data `d` is not there");
    test_write_text("train", "a file");
    refused(c, "cannot open this folder");
}

/* The pixels are those of the same pictures in the IDX file; the names of the files are their
 * numbers there. */
static void test_digits(const char *folder) {
    char path[512];
    snprintf(path, sizeof path, "%s/images/mnist-png", folder);
    Case c = {.dims = DIMS(1, 28, 28), .classes = 10, .path = path, .nsources = 2};
    DlrtData *data = open_case(&c);
    EXPECT_STR(c.error.message, "");
    if (!data) return;
    EXPECT_INT(dlrt_data_count(data, DLRT_TRAIN), 600);
    EXPECT_INT(dlrt_data_count(data, DLRT_TEST), 200);
    for (int64_t i = 0; i < 200; i++) EXPECT_INT(class_of(data, DLRT_TEST, i), i / 20);
    double sum = 0;
    for (int64_t i = 0; i < 600; i++)
        for (int e = 0; e < 784; e++) sum += value(data, DLRT_TRAIN, i, e);
    EXPECT_NEAR(sum / (600 * 784) / 255, 0.13, 0.01);
    dlrt_data_close(data);
}

static void test_suite(const char *folder) {
    static const char *const names[] = {"basn0g01", "basn2c08", "basn2c16", "basn3p04",
                                        "basn6a08", "basn4a16", "ftbbn3p08"};
    unsigned char pixels[3 * 32 * 32];
    const ImageWanted wanted = {3, 32, 32};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/images/pngsuite/%s.png", folder, names[i]);
        Pool pool = {0};
        Bytes file;
        DlrtError error = {0};
        EXPECT(file_read_plain(&pool, path, &file, &error));
        EXPECT(file.data && image_decode(&file, path, &wanted, pixels, &error));
        EXPECT_STR(error.message, "");
        pool_free(&pool);
    }
}

static void test_photo(const char *folder) {
    static unsigned char pixels[3 * 427 * 640];
    char path[512];
    Pool pool = {0};
    Bytes file;
    DlrtError error = {0};
    const ImageWanted wanted = {3, 427, 640}, other = {3, 640, 427};
    snprintf(path, sizeof path, "%s/images/photos/china.jpg", folder);
    EXPECT(file_read_plain(&pool, path, &file, &error));
    EXPECT(image_decode(&file, path, &wanted, pixels, &error));
    EXPECT_STR(error.message, "");
    double sums[3] = {0};
    for (int i = 0; i < 3 * 427 * 640; i++) sums[i / (427 * 640)] += pixels[i];
    EXPECT(sums[2] > 0.8 * sums[0] && sums[0] / (427 * 640) > 50); /* a hazy sky over roofs */
    EXPECT(!image_decode(&file, path, &other, pixels, &error));
    EXPECT_ERROR(error, "this picture is 427 x 640");
    file.size /= 2;
    EXPECT(!image_decode(&file, path, &wanted, pixels, &error));
    EXPECT_ERROR(error, "this JPEG file is damaged");
    pool_free(&pool);
}

int main(void) {
    test_folder_begin();
    test_folders();
    empty_train();
    test_colours();
    test_refused();
    const char *folder = test_data();
    if (folder) {
        test_digits(folder);
        test_suite(folder);
        test_photo(folder);
    }
    test_folder_end();
    TEST_END();
}
