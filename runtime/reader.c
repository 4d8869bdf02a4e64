/* runtime/reader.c: the readers by name.
 *
 * in: a source of a data block     out: its rows, as a table or as blocks
 */
#include "runtime/private.h"

#include <string.h>

typedef struct Reader {
    const char *name;
    bool (*read)(Loader *loader, SourceRows *source);
} Reader;

#define READER(name, settings, names_ports) {#name, name##_read},
static const Reader readers[] = {DLRT_READERS(READER)};
#undef READER

enum { READERS = sizeof readers / sizeof readers[0] };

bool reader_read(Loader *loader, SourceRows *source) {
    const char *name = source->spec->reader ? source->spec->reader : "";
    char known[128] = "";
    for (int i = 0; i < READERS; i++) {
        if (strcmp(readers[i].name, name) == 0) return readers[i].read(loader, source);
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%s",
                 i == 0             ? ""
                 : i == READERS - 1 ? " and "
                                    : ", ",
                 readers[i].name);
    }
    return error_set(loader->error, (Place){0}, "no reader is called `%s`: there are %s",
                     error_quote(name).text, known);
}
