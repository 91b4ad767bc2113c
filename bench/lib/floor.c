/* The least that a merge can do: reads every input once, tile by tile, and writes as many bytes as the output has.
   usage: floor THREADS TILE DIRECT SYNC OUT OUT_BYTES INPUT...
   TILE is in bytes of the output; an input gives the share of its size. DIRECT 1 passes the page cache by; SYNC 1 waits for the disk at the end. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST = 64, ALIGN = 4096 };
static long tile, outBytes, tiles;
static int inputs, in[MOST], out;
static long size[MOST], share[MOST];
static atomic_long next;

static void *work(void *unused) {
  (void)unused;
  char *buffer[MOST], *result;
  for (int i = 0; i < inputs; i++)
    if (posix_memalign((void **)&buffer[i], ALIGN, share[i])) exit(2);
  if (posix_memalign((void **)&result, ALIGN, tile)) exit(2);
  memset(result, 1, tile);
  for (long k; (k = atomic_fetch_add(&next, 1)) < tiles;) {
    for (int i = 0; i < inputs; i++) {
      long begin = k * share[i], length = size[i] - begin < share[i] ? size[i] - begin : share[i];
      for (long done = 0; done < length;) {
        long got = pread(in[i], buffer[i] + done, length - done, begin + done);
        if (got <= 0) break;
        done += got;
      }
    }
    long begin = k * tile, length = outBytes - begin < tile ? outBytes - begin : tile;
    for (long done = 0; done < length;) {
      long put = pwrite(out, result + done, length - done, begin + done);
      if (put <= 0) { perror("pwrite"); exit(2); }
      done += put;
    }
  }
  return NULL;
}

int main(int count, char **arg) {
  if (count < 8) return 2;
  int threads = atoi(arg[1]), direct = atoi(arg[3]), sync = atoi(arg[4]);
  tile = atol(arg[2]);
  outBytes = atol(arg[6]);
  if (direct) outBytes = (outBytes + ALIGN - 1) / ALIGN * ALIGN;
  int flags = direct ? O_DIRECT : 0;
  out = open(arg[5], O_WRONLY | O_CREAT | O_TRUNC | flags, 0644);
  if (out < 0 || ftruncate(out, outBytes)) { perror(arg[5]); return 2; }
  tiles = (outBytes + tile - 1) / tile;
  for (int i = 7; i < count && inputs < MOST; i++) {
    struct stat found;
    in[inputs] = open(arg[i], O_RDONLY | flags);
    if (in[inputs] < 0 || fstat(in[inputs], &found)) { perror(arg[i]); return 2; }
    size[inputs] = found.st_size;
    share[inputs] = ((found.st_size + tiles - 1) / tiles + ALIGN - 1) / ALIGN * ALIGN;
    inputs++;
  }
  pthread_t thread[MOST];
  for (int i = 0; i < threads; i++) pthread_create(&thread[i], NULL, work, NULL);
  for (int i = 0; i < threads; i++) pthread_join(thread[i], NULL);
  if (sync) fsync(out);
  return 0;
}
