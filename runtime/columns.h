/* runtime/columns.h: from tables of text to numbers: shared by columns.c, classes.c and fields.c.
 */
#ifndef DLRT_COLUMNS_H
#define DLRT_COLUMNS_H

#include "runtime/private.h"

/* One column of a port: its number as it is, or with set >= 0 as one number per distinct text. */
typedef struct Item {
    int64_t column; /* from 0 */
    int set;        /* index into Codes.sets, or -1 */
} Item;

typedef struct Mapping {
    Item *items;
    int64_t count, capacity;
    int nsets;
} Mapping;

/* How the texts of a port become numbers. */
typedef struct Codes {
    Texts classes; /* of a class port, unless `direct` */
    bool direct;   /* whole numbers that are classes already */
    bool whole;    /* whole numbers that are not: their texts are in `classes` */
    Texts *sets;
} Codes;

typedef struct Columns {
    Loader *loader;
    Mapping *mappings; /* [source][port] */
    Codes *codes;      /* [port] */
} Columns;

/* Numbers the texts of a port over all tables (classes.c). */
bool classes_number(Columns *columns, uint32_t port);
/* Copies the names of classes into the data. */
bool classes_keep(Columns *columns, uint32_t port);
/* The text of a whole number, as it is in `classes`. */
Quoted classes_whole(double value);

/* Turns a table's fields into the blocks of its source (fields.c). */
bool columns_fill(Columns *columns, uint32_t source);

#endif
