# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs with explicit numbers: SEMANTICS §5.5 B01-B36, as DESIGN §6 has them.

The letters and numbers are those of SEMANTICS. The endings of one run are in
outcomes.py; here is what comes of them, and what is particular.
"""
import os
import json
import signal

import abi
import dm
from kit import *
from runs import *


# ---- Success ----

@case
def b01_incremental():
    """This test will copy W onto a copy of the base: its clusters and no
    others, and the target goes from generation to generation."""
    for sync, mode in (('incremental', None), ('bitmap', 'on-success'),
                       ('bitmap', 'conditional')):
        s = anchored()
        s.completed(s.backup(sync, mode), 393216, set(), 1)
        s.target_has(W)
        same(manifest(), ('complete', 2, 3), 'manifest')


@case
def b02_writes_during_a_run():
    """This test will write D when all is copied: the target has what was
    there before, b has D, and the next run copies just that."""
    s = anchored()
    job = s.held('bitmap', 'on-success')
    s.write_d()
    s.completed(job.go_on(), 393216, D, 1)
    s.target_has(W)
    s.completed(s.backup('incremental'), 131072, set(), 1)
    s.target_has(W | D, begun=s.now)


@case
def b03_source_error():
    """This test will fail at 2M onto a copy that fits: clusters 0 and 16 are
    there, b is as it was, and the copy fits still."""
    s = anchored()
    s.lower.breaks()
    s.ended(s.backup('incremental', status=1), 'failed', 131072, 393216, W, 0,
            s.source_error(2 * M))
    s.target_has({0, 16})
    same(manifest(), ('incomplete', 2, 3), 'manifest')
    s.lower.mend()
    s.completed(s.backup('incremental'), 393216, set(), 1)
    s.target_has(W)
    same(manifest(), ('complete', 2, 3), 'manifest after the retry')


def _two_writes(s):
    s.lower.mend()
    s.fill(0, byte=5)
    s.fill(320 * K, byte=6)


@case
def b04_conditional_retry_onto_a_new_copy():
    """This test will fail a conditional run, write more, and run again onto a
    new copy of the base, by --force: W and what was written since."""
    s = anchored()
    s.lower.breaks()
    s.backup('bitmap', 'on-success', status=1)
    _two_writes(s)
    same(s.dirty(), bits('0 5 16 32-33 48-49'), 'before the retry')
    s.target = '/tmp/another'
    fresh_target(s.target)
    s.blank()
    refused(s.t, s.words('bitmap', 'on-success'),
            "Target '/tmp/another' has no manifest, so it is not known to fit "
            "bitmap 'b'")
    s.completed(s.backup('bitmap', 'on-success', '--force'), 458752, set(), 1)
    s.target_has(W | {0, 5})
    same(manifest(s.target), ('complete', None, 3), 'manifest')
    # the first copy is out of the chain: it has not what the new one has
    refused(s.t, words(s.t, 'incremental'),
            f"Target '{TARGET}' fits generation 2 of bitmap 'b', which is at "
            'generation 3')


@case
def b05_always_fail_at_2m():
    """This test will fail an always run: what it copied is clean, and the
    generation goes on."""
    s = anchored()
    s.lower.breaks()
    s.ended(s.backup('bitmap', 'always', status=1), 'failed', 131072, 393216,
            bits('32-33 48-49'), 1, s.source_error(2 * M))
    s.target_has({0, 16})
    same(manifest(), ('incomplete', 2, 3), 'manifest')


@case
def b06_always_resumes_onto_the_same_target():
    """This test will resume after B05 and two writes: only the rest is copied,
    and the target is the device."""
    s = anchored()
    s.lower.breaks()
    s.backup('bitmap', 'always', status=1)
    _two_writes(s)
    same(s.dirty(), bits('0 5 32-33 48-49'), 'before the retry')
    s.blank()
    s.completed(s.backup('bitmap', 'always'), 6 * 64 * K, set(), 1)
    s.target_has(bits('0 5 32-33 48-49'))
    same(manifest(), ('complete', 3, 4), 'manifest')


@case
def b06_always_refuses_another_target():
    """This test will resume after B05 onto a copy that missed what the failed
    run copied: refused."""
    s = anchored()
    dm.cleanup.callback(remove_target, '/tmp/old')
    for end in '', '.dtrack':
        run('cp', TARGET + end, '/tmp/old' + end)
    s.lower.breaks()
    s.backup('bitmap', 'always', status=1)
    s.lower.mend()
    refused(s.t, words(s.t, 'bitmap', 'always', target='/tmp/old'),
            "Target '/tmp/old' fits generation 2 of bitmap 'b', which is at "
            'generation 3')


@case
def b06_retry_after_each_failure():
    """This test will fail an incremental or differential run, then finish as
    always, and fail that, too: each time only what is missing is copied."""
    for mode, left in (('on-success', W), ('never', W),
                       ('always', bits('32-33 48-49'))):
        s = anchored()
        s.lower.breaks()
        s.backup('bitmap', mode, status=1)
        same(s.dirty(), left, mode)
        s.blank()
        answer = s.backup('bitmap', 'always', status=1)
        first = left - bits('32-33 48-49')
        s.ended(answer, 'failed', len(first) * 64 * K, len(left) * 64 * K,
                bits('32-33 48-49'), 1, s.source_error(2 * M))
        s.target_has(first)
        s.lower.mend()
        s.completed(s.backup('bitmap', 'always'), 4 * 64 * K, set(), 1)
        s.target_has(first | bits('32-33 48-49'))


@case
def b07_never_accumulates():
    """This test will run two differentials onto two copies of one base: the
    second one copies what the first one did, too."""
    s = anchored(write=False)
    s.fill(0)
    run('cp', TARGET + '.dtrack', '/tmp/base')
    dm.cleanup.callback(os.unlink, '/tmp/base')
    s.completed(s.backup('bitmap', 'never'), 65536, {0}, 0)
    s.target_has({0})
    same(manifest(), ('complete', 2, 2), 'manifest')
    s.fill(M)
    s.target = '/tmp/second'
    fresh_target(s.target)
    s.blank()
    run('cp', '/tmp/base', s.target + '.dtrack')
    s.completed(s.backup('bitmap', 'never'), 131072, {0, 16}, 0)
    s.target_has({0, 16})


@case
def b08_never_then_incremental():
    """This test will run a differential with D during it, then an incremental
    onto the same target: it is the device."""
    s = anchored()
    job = s.held('bitmap', 'never')
    s.write_d()
    s.completed(job.go_on(), 393216, W | D, 0)
    s.completed(s.backup('incremental'), 7 * 64 * K, set(), 1)
    s.target_has(W | D)


@case
def b10_cancel_of_a_finished_copy_cannot_be_trusted():
    """This test will cancel when everything is copied, by each signal: the
    target may be good, but the manifest does not say so."""
    for number, mode, left, step in (
            (signal.SIGINT, 'on-success', W | D, 0),
            (signal.SIGTERM, 'always', D, 1)):
        s = anchored()
        job = s.held('bitmap', mode)
        s.write_d()
        s.ended(job.cancel(number), 'cancelled', 393216, 393216, left, step,
                CANCELED)
        s.target_has(W)
        same(manifest(), ('incomplete', 2, 3), 'manifest')
        # the next run finishes it
        s.completed(s.backup('bitmap', 'always'), len(left) * 64 * K, set(), 1)
        s.target_has(W | D)


@case
def b10_cancel_after_the_end_is_too_late():
    """This test will cancel a run that has given its bitmap up: completed."""
    s = anchored()
    job = s.held('bitmap', 'on-success', at='ABDICATE')
    job.send(signal.SIGTERM)
    s.completed(job.go_on(), 393216, set(), 1)
    same(manifest(), ('complete', 2, 3), 'manifest')


@case
def b10_cancel_before_the_first_byte():
    """This test will cancel a run that has just frozen its bitmap: nothing is
    written, and the next one fits."""
    for mode, step in ('on-success', 0), ('never', 0), ('always', 1):
        s = anchored()
        job = s.held('bitmap', mode, at='TRANSACTION')
        s.write_d()
        s.ended(job.cancel(), 'cancelled', 0, 393216, W | D, step, CANCELED)
        s.target_has(set())
        s.completed(s.backup('incremental'), 7 * 64 * K, set(), 1)
        s.target_has(W | D)


@case
def b11_copied_cluster_rewritten():
    """This test will rewrite a cluster that has been copied: the target keeps
    what was there."""
    for mode, left, step in (('on-success', {0}, 1), ('always', {0}, 1),
                             ('never', W, 0)):
        s = anchored()
        s.lower.breaks()
        job = s.stopped('bitmap', mode)
        s.lower.mend()
        s.fill(0, byte=9)
        s.completed(job.go_on(), 393216, left, step)
        s.target_has(W)


@case
def b12_clusters_written_before_they_are_copied():
    """This test will write a cluster of the set before it is copied, and a
    clean one. Until there are images a copy is live: the target gets the new
    bytes of the first, nothing of the second, and both stay dirty."""
    s = anchored()
    job = s.held('bitmap', 'on-success', at='TRANSACTION')
    s.fill(2 * M, byte=9)
    s.fill(512 * K, byte=9)
    s.completed(job.go_on(), 393216, {8, 32}, 1)
    s.target_has(W, begun=s.now)
    s.completed(s.backup('incremental'), 131072, set(), 1)
    s.target_has(W | {8}, begun=s.now)


# ---- Errors and what to do about them ----

@case
def b13_target_full_then_room():
    """This test will fill the target at 2M in mode always, make room and
    resume: the rest comes, and no more."""
    s = scene()
    s.put_on_small(2 * 64 * K + 48 * K)
    s.ended(s.backup('bitmap', 'always', '--force', status=1), 'failed',
            131072, 393216, bits('32-33 48-49'), 1, s.target_full())
    s.target_has({0, 16}, {32}, 0)
    run('mount', '-o', 'remount,size=8m', '/tmp/small')
    same(manifest(s.target), ('incomplete', None, 2), 'manifest')
    s.completed(s.backup('bitmap', 'always'), 4 * 64 * K, set(), 1)
    s.target_has(W, (), 0)
    same(manifest(s.target), ('complete', 2, 3), 'manifest after the retry')


@case
def b14_target_full_stop():
    """This test will fill the target, make room while the run waits, and let
    it go on."""
    s = scene()
    s.put_on_small(2 * 64 * K + 48 * K)
    job = s.stopped('bitmap', 'on-success', '--force',
                    policy='--on-target-error')
    same((s.dirty(), s.t.info().count), (W, 393216), 'while it waits')
    run('mount', '-o', 'remount,size=8m', '/tmp/small')
    s.completed(job.go_on(), 393216, set(), 1)
    s.target_has(W, (), 0)


class ReadsHeld(Dm):
    """Passes everything; from hold() to pass_all() it keeps reads, and lets
    those go that it has when it is suspended."""

    def __init__(self, lower):
        self.lower = lower
        super().__init__(new_name('reads'), lower.size, 'linear',
                         f'{lower.path} 0')

    def hold(self):
        self.reload('delay', f'{self.lower.path} 0 {10 ** 9} '
                             f'{self.lower.path} 0 0')
        # who reads can't be killed
        dm.cleanup.callback(self.pass_all)

    def pass_all(self):
        self.reload('linear', f'{self.lower.path} 0')


def _reads_in_flight(t):
    with open(f'/sys/block/dm-{t.dev[1]}/inflight', encoding='ascii') as file:
        return int(file.read().split()[0])


def _first_read_fails(*more):
    """A run whose first read of granule 32 fails; later ones do not."""
    s = scene(write=False, over=ReadsHeld)
    s.fill(2 * M)
    job = s.held('bitmap', 'on-success', '--force', *more, at='TRANSACTION')
    s.over.hold()
    s.lower.breaks()
    job.send(signal.SIGCONT)
    wait_for(lambda: _reads_in_flight(s.t), 'a read')
    s.over.suspend()
    s.over.resume()
    s.lower.mend()
    s.over.pass_all()
    return s, job


@case
def b15_ignore_one_error():
    """This test will let a read fail and the next ones succeed: with 'ignore'
    the run completes."""
    s, job = _first_read_fails('--on-source-error', 'ignore')
    s.completed(job.end(), 65536, set(), 1)
    s.target_has({32})


@case
def b15_report_one_error():
    """This test will do so with 'report': the run fails, though the search for
    the bad granule found none."""
    s, job = _first_read_fails()
    s.ended(job.end(1), 'failed', 0, 65536, {32}, 0, s.source_error(2 * M))
    s.target_has(set())


@case
def b15_ignore_is_bounded():
    """This test will let all reads at 2M fail: 'ignore' gives up."""
    s = anchored()
    s.lower.breaks()
    answer = s.backup('bitmap', 'always', '--on-source-error', 'ignore',
                      status=1)
    s.ended(answer, 'failed', 131072, 393216, bits('32-33 48-49'), 1,
            s.source_error(2 * M))
    s.target_has({0, 16})


@case
def b16_b17_no_such_policies():
    """This test will ask for QEMU's 'enospc' and 'auto': wrong usage."""
    s = scene()
    for word in 'enospc', 'auto':
        refused(s.t, s.words('full', 'on-success', '--on-source-error', word),
                f"--on-source-error: '{word}' is none of report, "
                'ignore, stop', 'Usage', 2)


@case
def b18_stop_and_go_on():
    """This test will let a run stop at 2M twice, mend it and go on."""
    s = anchored()
    s.lower.breaks()
    job = s.stopped('bitmap', 'on-success')
    job.send(signal.SIGUSR1)
    for text in 'trying again', '; stopped: SIGUSR1':
        true(text in job.process.stderr.readline(), f'no {text!r}')
    s.target_has({0, 16})
    s.lower.mend()
    s.completed(job.go_on(), 393216, set(), 1)
    s.target_has(W)


@case
def b18_stop_has_a_limit():
    """This test will let a run stop that may wait for a second: it fails."""
    s = anchored()
    s.lower.breaks()
    answer = s.backup('bitmap', 'always', '--on-source-error', 'stop',
                      '--stop-timeout', '1', status=1)
    s.ended(answer, 'failed', 131072, 393216, bits('32-33 48-49'), 1,
            s.source_error(2 * M))


# ---- Granularities ----

@case
def b19_fine_granules():
    """This test will copy one granule of 4K: just that."""
    s = scene(write=False, granularity=4 * K)
    s.fill(4 * K, 4 * K)
    s.completed(s.backup('bitmap', 'on-success', '--force'), 4096, set(), 1)
    s.target_has({1})


@case
def b20_fine_always():
    """This test will fail at 1M with granules {0,258,512} of 4K: exactly what
    was not copied is left."""
    s = scene(write=False, granularity=4 * K, hole=M)
    for granule in 0, 258, 512:
        s.fill(granule * 4 * K, 4 * K)
    s.lower.breaks()
    s.ended(s.backup('bitmap', 'always', '--force', status=1), 'failed', 4096,
            12288, {258, 512}, 1, s.source_error(M + 8 * K))
    s.target_has({0})


@case
def b21_coarse_always():
    """This test will fail inside the first of two granules of 1M: both are
    left, and of the first not a byte is on the target."""
    s = scene(write=False, granularity=M, hole=M + 128 * K)
    s.fill(M, M)
    s.fill(3 * M, M)
    s.lower.breaks()
    s.ended(s.backup('bitmap', 'always', '--force', status=1), 'failed', 0,
            2 * M, {1, 3}, 1, s.source_error(M))
    s.target_has(set())


@case
def b22_coarse_always_second():
    """This test will fail in the second of two granules of 1M."""
    s = scene(write=False, granularity=M, hole=3 * M)
    s.fill(M, M)
    s.fill(3 * M, M)
    s.lower.breaks()
    s.ended(s.backup('bitmap', 'always', '--force', status=1), 'failed', M,
            2 * M, {3}, 1, s.source_error(3 * M))
    s.target_has({1})


@case
def b22_half_of_a_granule():
    """This test will fail in the middle of a granule of 2M, larger than a
    request: a half that is copied does not count."""
    s = scene(write=False, granularity=2 * M, hole=3 * M)
    s.fill(0, 4 * M)
    s.lower.breaks()
    s.ended(s.backup('bitmap', 'always', '--force', status=1), 'failed', 2 * M,
            4 * M, {1}, 1, s.source_error(3 * M))
    s.target_has({0}, torn={1})
    s.lower.mend()
    s.completed(s.backup('bitmap', 'always'), 2 * M, set(), 1)
    s.target_has({0, 1})


@case
def b22_granule_in_two_halves():
    """This test will stop in the middle of a granule of 2M, where the first
    half has been flushed already, and go on: all of it counts."""
    s = scene(write=False, granularity=2 * M, hole=3 * M)
    s.fill(2 * M, 2 * M)
    s.lower.breaks()
    job = s.stopped('bitmap', 'always', '--force')
    s.lower.mend()
    s.completed(job.go_on(), 2 * M, set(), 1)
    s.target_has({1})


@case
def b22_one_granule_of_two_gigabytes():
    """This test will run with one granule of 2G on 64K: all of it, clamped."""
    s = scene(write=False, size=64 * K, granularity=1 << 31)
    s.fill(4 * K, 512)
    s.completed(s.backup('bitmap', 'always', '--force'), 64 * K, set(), 1)
    s.target_is_device()


@case
def b22_last_granule_is_short():
    """This test will run on a device of 1M and 512 bytes (T11): the last
    sector, and no more."""
    s = anchored(write=False, size=M + 512)
    s.fill(M, 512)
    s.completed(s.backup('incremental'), 512, set(), 1)
    s.target_has({16})
    s.fill(M - 512, 1024)
    s.completed(s.backup('bitmap', 'always'), 64 * K + 512, set(), 1)
    s.target_has({15, 16})


@case
def b22_short_last_granule_fails():
    """This test will fail on that last sector: in mode always it is left."""
    s = scene(write=False, size=M + 64 * K + 512, hole=M)
    s.fill(0)
    s.fill(M, 64 * K + 512)
    s.lower.breaks()
    s.ended(s.backup('bitmap', 'always', '--force', status=1), 'failed',
            64 * K, 128 * K + 512, {16, 17}, 1, s.source_error(M))
    same(s.t.info().count, 64 * K + 512, 'count')
    s.lower.mend()
    s.completed(s.backup('bitmap', 'always'), 64 * K + 512, set(), 1)
    s.target_has({0, 16, 17})


# ---- Disabled, empty, read-only ----

def _disabled(ending, mode):
    s = scene()
    s.t.ctl.disable(s.t.dev, 'b')
    if ending == 'cancel-mid':
        s.lower.breaks()
        job = s.stopped('bitmap', mode, '--force')
        s.lower.mend()
    else:
        job = s.held('bitmap', mode, '--force')
    same(s.t.info().flags, abi.BUSY | abi.OWNED, 'flags')
    s.write_d()
    same(s.t.successor(), set(), 'successor')
    return s, job


@case
def b24_disabled_success():
    """This test will run with a disabled bitmap, D during: D is not
    recorded, and it stays disabled."""
    for mode, left, step in (('on-success', set(), 1), ('never', W, 0),
                             ('always', set(), 1)):
        s, job = _disabled('success', mode)
        s.completed(job.go_on(), 393216, left, step,
                    flags=abi.MISSING * step)
        s.target_has(W)


@case
def b24_disabled_cancelled():
    """This test will cancel such runs, at 2M and when all is copied."""
    for ending, mode, copied, left, step in (
            ('cancel-mid', 'on-success', 2, W, 0),
            ('cancel-mid', 'always', 2, bits('32-33 48-49'), 1),
            ('cancel-pending', 'on-success', 6, W, 0),
            ('cancel-pending', 'never', 6, W, 0),
            ('cancel-pending', 'always', 6, set(), 1)):
        s, job = _disabled(ending, mode)
        s.ended(job.cancel(), 'cancelled', copied * 64 * K, 393216, left, step,
                CANCELED, flags=abi.MISSING * step)


@case
def b24_disabled_full():
    """This test will make a full backup with a disabled bitmap: it is emptied
    and stays disabled."""
    s = scene()
    s.t.ctl.disable(s.t.dev, 'b')
    s.completed(s.backup('full', 'on-success'), 4 * M, set(), 1,
                flags=abi.MISSING)
    s.target_is_device()


@case
def b25_empty():
    """This test will run with an empty bitmap: nothing is copied."""
    for mode, step in ('on-success', 1), ('never', 0), ('always', 1):
        s = anchored(write=False)
        s.completed(s.backup('bitmap', mode), 0, set(), step)
        s.target_has(set())
        same(manifest(), ('complete', 2, 2 + step), 'manifest')


@case
def b25_empty_with_writes_during():
    """This test will write D during such a run."""
    for mode, step in ('on-success', 1), ('never', 0), ('always', 1):
        s = anchored(write=False)
        job = s.held('bitmap', mode, at='EXTENTS')
        s.write_d()
        s.completed(job.go_on(), 0, D, step)
        s.target_has(set())


@case
def b26_zeroes_are_written():
    """This test will write data, zeroes and discards: the target, which had
    something else there, has them."""
    s = scene(write=False, size=M)
    s.fill(0, byte=7)
    dm.write_zeroes(s.t.path, 128 * K, 64 * K)
    dm.discard(s.t.path, 256 * K, 64 * K)
    for begin in 128 * K, 256 * K:
        s.now[begin // SECTOR:(begin + 64 * K) // SECTOR] = bytes(128)
    s.completed(s.backup('bitmap', 'on-success', '--force'), 3 * 64 * K, set(),
                1)
    s.target_has({0, 2, 4})


@case
def b26_zeroes_over_what_a_cut_run_left():
    """This test will cut a full run that makes its target, write zeroes where
    it had written data, and finish: the zeroes are on the target."""
    s = scene()
    remove_target()
    s.lower.breaks()
    s.backup('full', 'always', status=1)
    s.lower.mend()
    s.fill(0, byte=0)
    s.completed(s.backup('full', 'on-success'), 4 * M, set(), 1)
    s.target_is_device()


@case
def b27_anchor():
    """This test will make a full backup that begins a chain, and go on with an
    incremental of 100 bytes."""
    s = scene()
    s.completed(s.backup('full', 'on-success'), 4 * M, set(), 1)
    s.target_is_device()
    fd = os.open(s.t.path, os.O_RDWR)
    os.pwrite(fd, b'\x11' * 100, 448 * K)
    os.fsync(fd)
    os.close(fd)
    same(s.dirty(), {7}, 'dirty')
    s.blank()
    s.completed(s.backup('incremental'), 65536, set(), 1)
    s.target_has({7})


@case
def b29_full_always_resumes():
    """This test will cut a full run in mode always and finish with the bitmap:
    only the second half is copied then, though the target was not known."""
    s = scene()
    s.lower.breaks()
    s.ended(s.backup('full', 'always', status=1), 'failed', 2 * M, 4 * M,
            bits('32-63'), 1, s.source_error(2 * M))
    s.lower.mend()
    s.fill(320 * K, byte=6)
    s.completed(s.backup('bitmap', 'always'), 2 * M + 64 * K, set(), 1)
    s.target_is_device()


@case
def b29_full_conditional_does_not_resume():
    """This test will cut a full run in mode on-success: the target is an
    unfinished full copy, and only a full one makes it right."""
    s = scene()
    s.lower.breaks()
    s.backup('full', 'on-success', status=1)
    s.lower.mend()
    refused(s.t, s.words('incremental'),
            f"Target '{TARGET}' is an unfinished full copy")
    s.completed(s.backup('full', 'on-success'), 4 * M, set(), 1)
    s.target_is_device()


@case
def b29_full_over_a_copy_that_fits():
    """This test will cut a full run over a copy that fits the bitmap: it fits
    still, and an incremental makes it right."""
    s = anchored()
    s.lower.breaks()
    s.ended(s.backup('full', 'on-success', status=1), 'failed', 2 * M, 4 * M,
            W, 0, s.source_error(2 * M))
    same(manifest(), ('incomplete', 2, 3), 'manifest')
    s.lower.mend()
    s.completed(s.backup('incremental'), 393216, set(), 1)
    s.target_has(bits('0-33 48-49'))


@case
def b32_sizes_differ():
    """This test will name targets of other sizes: refused before anything is
    frozen."""
    s = scene()
    for size in 4 * M - 512, 4 * M + 512, 0:
        os.truncate(TARGET, size)
        for sync in 'full', 'bitmap':
            refused(s.t, s.words(sync, 'on-success'),
                    'Source and target image have different sizes (4194304 '
                    f'and {size} bytes)')
    small = Loop(4 * M - 512)
    refused(s.t, words(s.t, 'full', 'on-success', target=small.path),
            'Source and target image have different sizes (4194304 and '
            '4193792 bytes)')


# ---- More than one at a time ----

@case
def b33_same_bitmap_twice():
    """This test will begin a second run with a bitmap that is frozen, in every
    mode: refused, and the first one completes."""
    s = anchored()
    job = s.held('bitmap', 'on-success', at='TRANSACTION')
    for sync, mode in (('bitmap', 'on-success'), ('bitmap', 'never'),
                       ('bitmap', 'always'), ('full', 'on-success')):
        refused(s.t, words(s.t, sync, mode, target='/tmp/second'),
                "Bitmap 'b' is currently in use by another operation and "
                'cannot be used', 'Busy')
    s.write_d()
    s.completed(job.go_on(), 393216, D, 1)
    true(not os.path.exists('/tmp/second'), 'a refused target was made')


@case
def b24_enabled_after_a_blind_run():
    """This test will make a full copy with a disabled bitmap, write, and enable
    it: nobody has seen the write, so that an incremental onto that copy is
    refused (I8)."""
    s = Scene()
    t = s.t
    t.ctl.disable(t.dev, 'b')
    s.backup('full', 'on-success')
    s.write_w()
    generation = t.info().generation
    t.ctl.enable(t.dev, 'b')
    same(t.info().generation, generation + 1, 'generation')
    refused(t, s.words('incremental'),
            f"Target '{TARGET}' fits generation {generation} of bitmap 'b', "
            f'which is at generation {generation + 1}', 'Stale')


@case
def b33_two_bitmaps_at_once():
    """This test will have two runs with two bitmaps of a device that overlap:
    each has its own set and successor."""
    s = scene()
    t = s.t
    t.ctl.add(t.dev, 'c', 4 * K)
    s.fill(3 * M, 4 * K, 4)
    fresh_target('/tmp/second')
    with open('/tmp/second', 'wb') as file:
        dm.paint(file, 0, 4 * M, 0xee)
    first = s.held('bitmap', 'on-success', '--force')
    s.fill(64 * K, byte=3)
    second = Held([*words(t, 'bitmap', 'always', 'c', '/tmp/second'),
                   '--force'], end=3 * M + 4 * K)
    second_begun = bytes(s.now)
    s.fill(2 * M, byte=3)
    same(t.successor('b'), D, 'successor of b')
    same(t.successor('c', 4 * K), bits('512-527'), 'successor of c')
    s.completed(first.go_on(), 393216, D, 1)
    answer = second.cancel()
    same((answer['status'], answer['bytes-copied']), ('cancelled', 68 * K),
         'second')
    same(t.dirty('c', 4 * K), bits('512-527'), 'c')
    s.target_has(W)
    want = bytearray(b'\xee' * 8192)
    for part in slice(128, 256), slice(6144, 6152):
        want[part] = second_begun[part]
    same(wrong_units('/tmp/second', want), set(), 'second target')


@case
def b33_same_target_twice():
    """This test will begin a second run onto a target in use: refused, its
    bitmap is as it was."""
    s = anchored()
    s.t.ctl.add(s.t.dev, 'c', 64 * K)
    job = s.held('bitmap', 'on-success')
    refused(s.t, words(s.t, 'full', 'on-success', 'c'),
            f"Target '{TARGET}' is used by another run", 'Busy')
    s.completed(job.go_on(), 393216, set(), 1)


@case
def b33_same_target_to_come():
    """This test will hold a full run between its freeze and the making of its
    target, which another one makes meanwhile: the first fails, its bitmap is
    as it was, and the other's manifest is not touched."""
    s = Scene()
    s.write_w()
    t = s.t
    t.ctl.add(t.dev, 'c', 64 * K)
    first = s.held('full', 'on-success', at='TRANSACTION')
    backup(t, 'full', 'on-success', bitmap='c')
    manifest = read_file(TARGET + '.dtrack', 0, 4096)
    answer = first.go_on(1)
    same((answer['status'], answer['error']['message']),
         ('failed', f"Target '{TARGET}' is used by another run"), 'first')
    s.bitmap_is(W, 0)
    same(read_file(TARGET + '.dtrack', 0, 4096), manifest, 'manifest')
    s.fill(320 * K, byte=6)
    answer = backup(t, 'incremental', bitmap='c')
    same(answer['bytes-copied'], 64 * K, 'the other goes on')


@case
def b34_other_bitmaps_during_a_run():
    """This test will add, clear, disable, merge and remove other bitmaps while
    a run is under way."""
    s = anchored()
    t = s.t
    t.ctl.add(t.dev, 'c', 64 * K)
    s.fill(0)
    job = s.held('bitmap', 'on-success', at='TRANSACTION')
    cli('bitmap', 'add', t.name, 'n')
    s.fill(2 * M + 256 * K, byte=3)
    same(cli('bitmap', 'extents', t.name, 'n'),
         [{'start': 2 * M + 256 * K, 'length': 65536}], 'n')
    cli('bitmap', 'clear', t.name, 'c')
    cli('bitmap', 'merge', t.name, 'c', 'n')
    cli('bitmap', 'disable', t.name, 'c')
    cli('bitmap', 'remove', t.name, 'n')
    same((t.dirty('c'), t.dirty(), t.successor()), ({36}, W, {36}), 'bitmaps')
    s.completed(job.go_on(), 393216, {36}, 1)
    s.target_has(W)


@case
def b36_quit_and_go_on():
    """This test will end an always run after 64K, with a write during it: what
    is left is what a later run copies, onto the same target."""
    s = anchored(write=False, hole=M)
    s.fill(0)
    s.fill(M)
    s.lower.breaks()
    job = s.stopped('bitmap', 'always')
    s.lower.mend()
    s.fill(2 * M, byte=3)
    s.ended(job.cancel(), 'cancelled', 65536, 131072, {16, 32}, 1, CANCELED)
    s.completed(s.backup('bitmap', 'always'), 131072, set(), 1)
    s.target_has({0, 16, 32})


@case
def b36_killed_and_go_on():
    """This test will kill a run of each mode at 2M, with D during it, and run
    again onto the same target: an always run has only the rest to do."""
    for mode, left, step in (('on-success', W | D, 0), ('never', W | D, 0),
                             ('always', D | bits('32-33 48-49'), 1)):
        s = anchored()
        s.lower.breaks()
        job = s.stopped('bitmap', mode)
        s.lower.mend()
        s.write_d()
        job.kill()
        s.bitmap_is(left, step)
        s.target_has({0, 16})
        same(manifest(), ('incomplete', 2, 2 + (mode != 'never')), 'manifest')
        s.blank()
        s.completed(s.backup('incremental'), len(left) * 64 * K, set(), 1)
        s.target_has(left)


@case
def b36_two_signals():
    """This test will send two signals at once, as timeout(1) does, to a run that
    waits: that is one wish, the run ends in order, and the bitmap is as it is
    after one signal."""
    s = anchored()
    s.lower.breaks()
    job = s.stopped('bitmap', 'always')
    s.lower.mend()
    s.write_d()
    job.send(signal.SIGSTOP)
    job.send(signal.SIGINT)
    job.send(signal.SIGTERM)
    job.send(signal.SIGCONT)
    out, _ = job.process.communicate(timeout=150)
    same((job.process.returncode, json.loads(out)['status']), (1, 'cancelled'), 'the run')
    s.bitmap_is(bits('1 32-33 48-49'), 1)


@case
def b37_taken_away():
    """This test will take the bitmap away from a run by force: its next word
    to the kernel fails, it exits 1, and nothing is lost."""
    for mode, left, step in (('on-success', W | D, 0), ('never', W | D, 0),
                             ('always', D | bits('32-33 48-49'), 1)):
        s = anchored()
        s.lower.breaks()
        job = s.stopped('bitmap', mode)
        s.lower.mend()
        s.write_d()
        refused(s.t, ['dtrack', 'bitmap', 'reclaim', s.t.name, 'b'],
                "Bitmap 'b' is currently in use by another operation and "
                'cannot be used', 'Busy')
        cli('bitmap', 'reclaim', s.t.name, 'b', '--force')
        s.bitmap_is(left, step)
        job.send(signal.SIGUSR1)
        answer = job.end(1)
        same((answer['status'], answer['error']),
             ('failed', {'class': 'Stale', 'message':
                         "The freeze of bitmap 'b' was taken away"}), 'answer')
        s.bitmap_is(left, step)
        same(manifest()[0], 'incomplete', 'manifest')


@case
def b37_taken_away_and_frozen_again():
    """This test will do so when all is copied, and freeze the bitmap for
    somebody else: the run that lost it does not end that freeze."""
    s = anchored()
    job = s.held('bitmap', 'on-success')
    s.write_d()
    cli('bitmap', 'reclaim', s.t.name, 'b', '--force')
    cli('bitmap', 'freeze', s.t.name, 'b')
    job.send(signal.SIGCONT)
    answer = job.end(1)
    same((answer['status'], answer['error']['class']), ('failed', 'Stale'),
         'answer')
    same(answer['bitmap']['busy'], True, 'busy')
    same((s.dirty(), s.t.info().flags), (W | D, abi.RECORDING | abi.BUSY), 'b')
    cli('bitmap', 'reclaim', s.t.name, 'b')
    s.bitmap_is(W | D, 0)


@case
def b38_without_a_bitmap():
    """This test will copy a device without a bitmap, in full and as 'top': b
    goes on as if nothing had been, and the target is not taken for its copy.
    """
    for sync in 'full', 'top':
        s = scene()
        answer = backup(s.t, sync, bitmap=None)
        same(answer, {'status': 'completed', 'consistency': 'live',
                      'bytes-total': 4 * M, 'bytes-copied': 4 * M,
                      'bitmap': None}, 'answer')
        s.target_is_device()
        same(s.dirty(), W, 'b')
        refused(s.t, s.words('incremental'),
                f"Target '{TARGET}' is no copy that bitmap 'b' belongs to: it "
                'was made without a bitmap')


# ---- Resize ----

@case
def r02_shrink_during_a_run():
    """This test will shrink a device during a run: refused, and the run
    completes."""
    s = anchored()
    job = s.held('bitmap', 'on-success', at='TRANSACTION')
    with fails('EBUSY'):
        s.t.load('dirtytrack', s.t.line(), 3 * M)
    s.completed(job.go_on(), 393216, set(), 1)
    s.target_has(W)


@case
def r02_grow_during_a_run():
    """This test will grow a device during a run: the run is of the old size,
    what was added is dirty, and the target is enlarged by --force only."""
    for mode, step, left in (('on-success', 1, bits('64-79')),
                             ('never', 0, W | bits('64-79')),
                             ('always', 1, bits('64-79'))):
        s = Scene(size=5 * M)
        s.t.reload('dirtytrack', s.t.line(), 4 * M)
        s.now = s.now[:8192]
        s.anchor()
        s.write_w()
        job = s.held('bitmap', mode, at='EXTENTS')
        s.t.reload('dirtytrack', s.t.line(), 5 * M)
        answer = job.go_on()
        same((answer['status'], answer['bytes-copied'], answer['bytes-total']),
             ('completed', 393216, 393216), 'answer')
        s.bitmap_is(left, step)
        s.target_has(W)
        refused(s.t, s.words('bitmap', 'always'),
                'Source and target image have different sizes (5242880 and '
                '4194304 bytes)')
        s.now += b'\x11' * 2048
        s.completed(s.backup('bitmap', 'always', '--force'),
                    len(left) * 64 * K, set(), 1)
        same(os.stat(TARGET).st_size, 5 * M, 'size of the target')
        s.target_has(W | bits('64-79'))


@case
def r03_incremental_after_growth():
    """This test will grow a device from 4M to 5M, write a granule there and
    copy the rest: all of what was added."""
    s = Scene(size=5 * M)
    s.t.reload('dirtytrack', s.t.line(), 4 * M)
    s.now = s.now[:8192]
    s.anchor()
    s.t.reload('dirtytrack', s.t.line(), 5 * M)
    s.now += b'\x11' * 2048
    s.fill(4 * M)
    same(s.dirty(), bits('64-79'), 'dirty')
    s.completed(s.backup('incremental', None, '--force'), M, set(), 1)
    s.target_has(bits('64-79'))
