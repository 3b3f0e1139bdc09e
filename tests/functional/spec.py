# SPDX-License-Identifier: GPL-2.0-or-later
"""What bitmaps shall do, as plain arithmetic: DESIGN §4-§5, SEMANTICS §1-§5.

Written from these pages and from the comments of dm-dirtytrack.h, not from the
code, so that both can disagree. Nothing here talks to a kernel. A bitmap's
content is an integer, bit n being granule n.
"""
import copy
import functools

SECTOR = 512
CONDITIONAL, NEVER, ALWAYS = range(3)


class Refused(Exception):
    """The operation changes nothing; any of these errnos is right."""

    def __init__(self, *names):
        super().__init__('/'.join(names))
        self.names = names


def span(grain, start, end):
    """The granules that bytes [start, end) touch."""
    if start >= end:
        return 0
    first, last = start // grain, (end - 1) // grain
    return ((1 << (last - first + 1)) - 1) << first


def whole(grain, size):
    return span(grain, 0, size)


def runs(mask):
    """(first, end) of each run of set bits, ascending."""
    at = 0
    while mask:
        skip = (mask & -mask).bit_length() - 1
        mask >>= skip
        length = (~mask & (mask + 1)).bit_length() - 1
        mask >>= length
        yield at + skip, at + skip + length
        at += skip + length


@functools.lru_cache(1024)
def extents(mask, grain, size):
    """(start, length) in bytes, cut at size."""
    return [(a * grain, min(b * grain, size) - a * grain)
            for a, b in runs(mask)]


@functools.lru_cache(1024)
def count(mask, grain, size):
    return sum(length for _, length in extents(mask, grain, size))


@functools.lru_cache(1024)
def regrain(mask, grain, to, size):
    """Outward, whatever is finer."""
    if grain == to:
        return mask
    found = 0
    for start, length in extents(mask, grain, size):
        found |= span(to, start, start + length)
    return found


class Freeze:
    def __init__(self, run, mode, everything, owner, size):
        self.run, self.mode, self.owner = run, mode, owner
        self.everything, self.size = everything, size
        self.successor = self.copied = 0


class Bitmap:
    def __init__(self, name, grain, size, uuid=None, recording=True, dirty=0):
        self.name, self.grain, self.size, self.uuid = name, grain, size, uuid
        self.recording, self.dirty = recording, dirty
        self.missing = False    # a run ended while it did not record
        self.generation, self.last_run = 1, 0
        self.frozen = None
        self.leaving = False    # removed by a transaction that is not done

    def mark(self, mask):
        if self.frozen:
            self.frozen.successor |= mask
        else:
            self.dirty |= mask

    def todo(self):
        """What the run is to copy."""
        if self.frozen.everything:
            return whole(self.grain, self.frozen.size)
        return self.dirty

    def at_risk(self):
        """All that may differ from the last copy."""
        return self.dirty | (self.frozen.successor if self.frozen else 0)

    def end(self, abdicate, size):
        f = self.frozen
        stepped = abdicate or f.mode == ALWAYS
        if f.mode == ALWAYS:
            self.dirty = self.todo() & ~f.copied | f.successor
        elif abdicate:
            self.dirty = f.successor
        else:
            self.dirty |= f.successor
        if stepped:
            self.generation += 1
            self.last_run = f.run
            self.missing = not self.recording
        self.frozen, self.size = None, size


class Device:
    def __init__(self, size):
        self.size = size
        self.bitmaps = {}

    def write(self, start, end):
        for b in self.bitmaps.values():
            if b.recording:
                b.mark(span(b.grain, start, end))

    def resize(self, size):
        if size < self.size and any(b.frozen for b in self.bitmaps.values()):
            raise Refused('EBUSY')
        for b in self.bitmaps.values():
            if size > self.size:
                b.mark(span(b.grain, self.size, size))
            else:
                b.dirty &= whole(b.grain, size)
            if not b.frozen:
                b.size = size
        self.size = size

    def moved(self):
        """Another device below: nothing is known any more."""
        for b in self.bitmaps.values():
            b.mark(whole(b.grain, self.size))
            b.generation += 1

    def line_adds(self, name, grain, clean):
        if name not in self.bitmaps:
            self.bitmaps[name] = Bitmap(
                name, grain, self.size,
                dirty=0 if clean else whole(grain, self.size))


class Spec:
    """All devices. do() is one operation, transaction() many or none."""

    def __init__(self):
        self.devices = {}

    def _find(self, dev, name):
        if dev not in self.devices:
            raise Refused('ENODEV')
        if name not in self.devices[dev].bitmaps:
            raise Refused('ENOENT')
        return self.devices[dev].bitmaps[name]

    def _idle(self, dev, name):
        b = self._find(dev, name)
        if b.frozen or b.leaving:
            raise Refused('EBUSY')
        return b

    def _frozen(self, dev, name, caller, run):
        """The bitmap whose freeze the caller may speak for."""
        b = self._find(dev, name)
        if b.leaving:
            raise Refused('EBUSY')
        if not b.frozen:
            raise Refused('ESTALE' if run else 'ENODATA')
        if run and run != b.frozen.run:
            raise Refused('ESTALE')
        if b.frozen.owner is not None and \
                (not run or b.frozen.owner != caller):
            raise Refused('EBUSY')
        return b

    def do(self, word, dev, name, caller=None, pending=None, **fields):
        """pending: a list, within a transaction."""
        if word == 'abort':
            raise Refused('ECANCELED')
        if dev not in self.devices:
            raise Refused('ENODEV')
        return getattr(self, '_' + word)(dev, name, caller, pending, **fields)

    def _add(self, dev, name, caller, pending, grain=0, disabled=False):
        d, grain = self.devices[dev], grain or 65536
        if grain & (grain - 1) or not 512 <= grain <= 1 << 31:
            raise Refused('EINVAL')
        if name in d.bitmaps:
            raise Refused('EEXIST')
        d.bitmaps[name] = Bitmap(name, grain, d.size, recording=not disabled)

    def _remove(self, dev, name, caller, pending):
        b = self._idle(dev, name)
        if pending is None:
            del self.devices[dev].bitmaps[name]
        else:
            b.leaving = True
            pending.append((dev, name))

    def _clear(self, dev, name, caller, pending):
        b = self._idle(dev, name)
        b.dirty = 0
        b.generation += 1

    def _enable(self, dev, name, caller, pending):
        b = self._idle(dev, name)
        b.generation += b.missing
        b.recording, b.missing = True, False

    def _disable(self, dev, name, caller, pending):
        b = self._idle(dev, name)
        b.generation += b.recording     # idempotent
        b.recording = False

    def _merge(self, dev, name, caller, pending, sources=()):
        b, new, why = self._idle(dev, name), 0, set()
        for other, source in sources:
            try:
                s = self._idle(other, source)
            except Refused as e:
                why |= set(e.names)
                continue
            if self.devices[other].size != self.devices[dev].size:
                why.add('ERANGE')
            else:
                new |= regrain(s.dirty, s.grain, b.grain, b.size)
        if why:
            raise Refused(*why)
        b.dirty |= new

    def _freeze(self, dev, name, caller, pending, mode=0, everything=False,
                owned=True, run=0):
        b = self._idle(dev, name)
        # nor its own last one, which 'last_run' is to tell from it
        if run and (run == b.last_run or any(
                other.frozen and other.frozen.run == run
                for other in self.devices[dev].bitmaps.values())):
            raise Refused('EEXIST')
        b.frozen = Freeze(run, mode, everything, caller if owned else None,
                          b.size)

    def _abdicate(self, dev, name, caller, pending, run=0):
        b = self._frozen(dev, name, caller, run)
        if b.frozen.mode == NEVER:
            raise Refused('EINVAL')
        b.end(True, self.devices[dev].size)

    def _reclaim(self, dev, name, caller, pending, run=0, force=False):
        if force and not run:
            b = self._find(dev, name)
            if b.leaving:
                raise Refused('EBUSY')
            if not b.frozen:
                raise Refused('ENODATA')
        else:
            b = self._frozen(dev, name, caller, run)
        b.end(False, self.devices[dev].size)

    def _report(self, dev, name, caller, pending, run=0, ranges=()):
        b, mask = self._frozen(dev, name, caller, run), 0
        for start, length in ranges:
            end = start + length
            if start % b.grain or \
                    (end % b.grain and end != b.frozen.size) or not length or \
                    end > b.frozen.size:
                raise Refused('EINVAL')
            mask |= span(b.grain, start, end)
        if mask & ~b.todo():
            raise Refused('EINVAL')
        b.frozen.copied |= mask

    def _load(self, dev, name, caller, pending, mask=0, unite=False):
        b = self._idle(dev, name)
        b.dirty = b.dirty | mask if unite else mask
        b.generation += 1

    def close(self, caller):
        """The open file goes; so do its freezes."""
        for d in self.devices.values():
            for b in d.bitmaps.values():
                if b.frozen and b.frozen.owner == caller and \
                        caller is not None:
                    b.end(False, d.size)

    def transaction(self, actions, caller=None):
        """actions: (word, dev, name, fields). The devices afterwards; Refused
        has the index of the action in 'failed'."""
        tried, pending = copy.deepcopy(self), []
        for i, (word, dev, name, fields) in enumerate(actions):
            try:
                tried.do(word, dev, name, caller, pending, **fields)
            except Refused as e:
                e.failed = i
                raise
        for dev, name in pending:
            del tried.devices[dev].bitmaps[name]
        return tried.devices
