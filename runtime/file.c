/* runtime/file.c: files of data: where they are, and their content.
 *
 * in: names as a data block writes them, and --data     out: content, unpacked when it is gzip
 * invariant: a file is recognised by its content, never by its name.
 */
#include "runtime/private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

static bool fail_errno(DlrtError *error, const char *path, const char *what) {
    int number = errno;
    error_set(error, (Place){.path = path}, "cannot %s: %s", what, strerror(number));
    if (error) error->missing_file = number == ENOENT || number == ENOTDIR;
    return false;
}

/* Reads on: *n is what came, less than asked for only at the end of the file. */
typedef bool ReadOn(void *file, void *to, size_t wanted, size_t *n, const char *path,
                    DlrtError *error);

static bool read_on_gzip(void *file, void *to, size_t wanted, size_t *n, const char *path,
                         DlrtError *error) {
    int code, got = gzread(file, to, (unsigned)wanted);
    *n = got > 0 ? (size_t)got : 0;
    if (got >= 0) return true;
    const char *text = gzerror(file, &code);
    if (code == Z_ERRNO) return fail_errno(error, path, "read");
    return error_set(error, (Place){.path = path}, "the compressed data is damaged: %s", text);
}

static bool read_on_plain(void *file, void *to, size_t wanted, size_t *n, const char *path,
                          DlrtError *error) {
    for (*n = 0; *n < wanted;) {
        ssize_t got = read(*(int *)file, (char *)to + *n, wanted - *n);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fail_errno(error, path, "read");
        if (got == 0) break;
        *n += (size_t)got;
    }
    return true;
}

/* The rest of a file, or `limit` bytes of it. Grows as the content comes: what a file says of its
 * size is not to be trusted. */
static bool read_all(Pool *pool, ReadOn *read_on, void *file, const char *path, size_t guess,
                     size_t limit, Bytes *bytes, DlrtError *error) {
    size_t capacity = (guess < limit ? guess : limit) + 2, size = 0, wanted, got;
    unsigned char *data = malloc(capacity);
    while (data) {
        wanted = capacity - size - 1;
        if (wanted > 1 << 30) wanted = 1 << 30;
        if (!read_on(file, data + size, wanted, &got, path, error)) {
            free(data);
            return false;
        }
        size += got;
        if (got < wanted || size > limit) break;
        if (capacity - size > 1) continue;
        capacity *= 2;
        unsigned char *moved = capacity < SIZE_MAX / 4 ? realloc(data, capacity) : NULL;
        if (!moved) free(data);
        data = moved;
    }
    if (data) {
        bytes->size = size < limit ? size : limit;
        data[bytes->size] = 0;
        unsigned char *fitted = realloc(data, bytes->size + 1);
        bytes->data = pool_adopt(pool, fitted ? fitted : data);
        if (bytes->data) return true;
    }
    return error_set(error, (Place){.path = path}, "not enough memory for this file");
}

/* A descriptor of something that can be read, or -1. */
static int open_file(const char *path, size_t *guess, DlrtError *error) {
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        fail_errno(error, path, "open");
        return -1;
    }
    if (fstat(fd, &status) != 0) status = (struct stat){0};
    *guess = status.st_size > 0 ? (size_t)status.st_size : 4096;
    if (!S_ISDIR(status.st_mode)) return fd;
    close(fd);
    error_set(error, (Place){.path = path}, "this is a folder, not a file");
    return -1;
}

bool file_read(Pool *pool, const char *path, size_t limit, Bytes *bytes, DlrtError *error) {
    size_t guess;
    int fd = open_file(path, &guess, error);
    if (fd < 0) return false;
    gzFile file = gzdopen(fd, "rb");
    if (!file) {
        close(fd);
        return error_memory(error, "reading a file");
    }
    gzbuffer(file, 1 << 18);
    if (!gzdirect(file) && guess < SIZE_MAX / 8) guess *= 4;
    bool good = read_all(pool, read_on_gzip, file, path, guess, limit, bytes, error);
    bool at_end = good && bytes->size < limit;
    if (gzclose(file) == Z_BUF_ERROR && at_end)
        return error_set(error, (Place){.path = path},
                         "the compressed data ends early: the file was cut off");
    return good;
}

bool file_read_plain(Pool *pool, const char *path, Bytes *bytes, DlrtError *error) {
    size_t guess;
    int fd = open_file(path, &guess, error);
    if (fd < 0) return false;
    bool good = read_all(pool, read_on_plain, &fd, path, guess, SIZE_MAX / 4, bytes, error);
    close(fd);
    return good;
}

/* ---- where a source's file is ------------------------------------------------------------ */

static bool exists(const char *path) {
    struct stat status;
    return path && stat(path, &status) == 0;
}

static bool is_folder(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

/* The same name with or without `.gz`. */
static char *other_name(Pool *pool, const char *path) {
    size_t length = strlen(path);
    char *other = pool_take(pool, (int64_t)length + 4, 1);
    if (!other) return NULL;
    strcpy(other, path);
    bool packed = length > 3 && strcmp(path + length - 3, ".gz") == 0;
    strcpy(other + length - (packed ? 3 : 0), packed ? "" : ".gz");
    return other;
}

static const char *choose(Pool *pool, const char *path) {
    if (!path || exists(path)) return path;
    char *other = other_name(pool, path);
    return exists(other) ? other : NULL;
}

static int64_t count_files(const DlrtDataSpec *spec) {
    int64_t files = 0;
    for (uint32_t i = 0; i < spec->nsources; i++)
        for (uint32_t k = 0; k < spec->sources[i].nargs; k++)
            files += reader_is_file(&spec->sources[i], &spec->sources[i].args[k]);
    return files;
}

static const char *missing(const DlrtDataSpec *spec, const char *path, DlrtError *error) {
    const char *about = spec->about && spec->about[0] ? spec->about : NULL;
    error_set(error, (Place){.path = path}, "this file of data `%s` is not there%s%s%s",
              spec->name ? spec->name : "", about ? "\n" : "", about ? about : "",
              about ? "\nsay where it is with --data FOLDER"
                    : "; say where it is with --data FOLDER");
    if (error) error->missing_file = true;
    return NULL;
}

const char *file_find(Pool *pool, const DlrtDataSpec *spec, const char *data_path, const char *name,
                      DlrtError *error) {
    const char *folder = data_path ? data_path : spec->folder ? spec->folder : "";
    if (data_path && exists(data_path) && !is_folder(data_path)) {
        if (count_files(spec) == 1) return data_path;
        error_set(error, (Place){.path = data_path},
                  "data `%s` is read from %lld files: give the folder they are in, not a file",
                  spec->name ? spec->name : "", (long long)count_files(spec));
        return NULL;
    }
    const char *path = pool_join(pool, folder, name);
    const char *found = choose(pool, path);
    const char *base = strrchr(name, '/');
    if (!found && data_path && base) found = choose(pool, pool_join(pool, data_path, base + 1));
    return found || !path ? found : missing(spec, path, error);
}
