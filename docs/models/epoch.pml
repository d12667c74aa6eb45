/* The epoch change of one key: holders, their authority, and a relay that may lie.
 *
 * What is modelled, the bounds and what it found: docs/protocols/epoch-model.md. Each step names the
 * function that it models, below src/tigertally/custody. The test tests/models/test_epoch_model.py
 * runs every variant and every broken variant (BREAK_...).
 *
 *   spin -a -DCROOKED epoch.pml && gcc -O2 -DSAFETY -DCOLLAPSE -o pan pan.c && ./pan -m100000
 *
 * Variants: CROOKED (the relay lies until it repents; without it the authority runs its code),
 * MAKING (the key is being made when it begins; without it the key is live), TRAITOR (holder 0
 * lies), FEW_ACKS (a quorum of acknowledgements is enough), ACROSS (two changes, not one).
 */

#define N 4                             /* holders that can ever be: 0 to 3 */
#define M 2                             /* the quorum: of fragments and of approvals */
#define FIRST 7                         /* the first holders: 0, 1 and 2 */
#define NONE 15

#ifdef ACROSS
#define CHANGES 2
#else
#define CHANGES 1
#endif
#if defined(CROOKED) && !defined(MAKING)
#define HEALS true
#define HEAL (CHANGES + 1)              /* one more, after the relay has repented */
#else
#define HEALS !lying
#define HEAL CHANGES
#endif

/* An epoch has a number: 3 times the operation that makes it (0 makes the key, the others change the
 * holders) and 0 for attempt 1, 1 for the twin of attempt 1 (other dealings under the same name:
 * a lie), 2 for attempt 2. So numbers are in the order of (roster version, attempt), and a twin
 * stands where attempt 1 stands. */
#define EPOCHS (3 * (HEAL + 1))
#define operation(e) ((e) / 3)
#define is_twin(e) ((e) % 3 == 1)
#define is_second(e) ((e) % 3 == 2)
#define bit(i) (1 << (i))
#define has(set, i) (((set) >> (i)) & 1)
#define size(set) (((set) & 1) + (((set) >> 1) & 1) + (((set) >> 2) & 1) + (((set) >> 3) & 1))
#define lower(e) (bit(is_second(e) -> (e) : 3 * operation(e)) - 1)
#define others(e) (is_second(e) -> 0 : bit(3 * operation(e) + 1 - (e) % 3)) /* its twin */

/* Names as in custody/state/authority.py: EpochStatus. */
mtype:status = { dealing, open, certified, aborted };
#define OTHER_KEY 4                     /* what a wrong dealing stands for */

#ifdef FEW_ACKS
#define NEEDED(set) M
#else
#define NEEDED(set) size(set)
#endif

/* What the authority remembers (EpochRecord, KeyRecord, rows.Due). */
mtype:status record[EPOCHS];
byte now_at = 0;                        /* the newest operation: whose roster is the present one */
byte roster[HEAL + 1];                  /* the holders after each operation */
byte need[HEAL + 1];                    /* EpochRecord.acks */
byte alive = NONE;                      /* KeyRecord.live */
byte coming = NONE;                     /* KeyRecord.coming */
byte donors[EPOCHS];                    /* EpochRecord.dealers, then Due.DEAL */
byte owing[EPOCHS];                     /* Due.ACKNOWLEDGE */

/* What has been signed; a relay that lies forgets and shows of it what it likes, when it likes. */
byte dealt[EPOCHS];                     /* who has dealt for an attempt */
byte base[EPOCHS];                      /* Dealing.base: the epoch that a reshare starts from */
byte acks[EPOCHS];                      /* who has acknowledged */
short shown = 0;                        /* epochs whose dealings are complete */
byte key[EPOCHS];                       /* the key that the commitments stand for */
short kin[5];                           /* the epochs of each key */
bool wrong[EPOCHS];                     /* a donor dealt another fragment than it holds */

/* What a device remembers (client/rows.py). */
short held[N];                          /* HELD: fragments on this device */
short proven[N];                        /* of those, the ones with a certificate */
short answered[N];                      /* ANSWERED: one statement for each attempt, for ever */
byte live[N] = NONE;                    /* live_name: the newest with a certificate */

bool repented = false;                  /* the relay lies no more; nothing crashes or is lost */
hidden byte e_ = 0;
hidden byte usable_ = 0;
hidden byte never_zero_usable, erased_only_below_certified, one_key;
hidden byte ends_in_one_epoch, taken_once, never_shared;
bool ended = false;                     /* the end is reached */
byte used = 0;                          /* the key that m devices have had ready, 0 if none */

#ifdef TRAITOR
#define honest(h) ((h) != 0)
#else
#define honest(h) true
#endif

#ifdef CROOKED
#define lying (!repented)
#else
#define lying false
#endif

#define is_certified(e) (size(acks[e]) >= need[operation(e)] && has(shown, e))

/* ---- properties ------------------------------------------------------------------------------ */

#define present roster[now_at]
#define holds(set, h, e) (honest(h) && has(set, h) && has(held[h], e))
#define holding(set, e) (holds(set, 0, e) + holds(set, 1, e) + holds(set, 2, e) + holds(set, 3, e))
#define answers(h, e) (honest(h) && has(present, h) && live[h] == (e))
#define answering(e) (answers(0, e) + answers(1, e) + answers(2, e) + answers(3, e))

/* Is there an epoch (is the newest one) that enough of these holders can use? */
inline look_for_usable(set, newest) {
    e_ = 0; usable_ = 0;
    do
    :: e_ < EPOCHS ->
        if
        :: is_certified(e_) && key[e_] == used && (newest || !usable_) ->
            usable_ = (holding(set, e_) >= M)
        :: else
        fi;
        e_++
    :: else -> break
    od
}

/* After every step that may hurt. */
inline judge() {
    e_ = 0;
    do
    :: e_ < EPOCHS ->
        if
        :: has(shown, e_) && answering(e_) >= M ->
            one_key = (used == 0 || used == key[e_]);       /* (3) */
            assert(one_key);
            used = key[e_]
        :: else
        fi;
        e_++
    :: else -> break
    od;
    look_for_usable(present, false);
    never_zero_usable = (used == 0 || usable_);         /* (1) */
    assert(never_zero_usable);
    e_ = 0; usable_ = 0
}

/* (2) what is erased is lower than a certified epoch that this device holds. */
inline judge_device(h) {
    if
    :: answered[h] & ~held[h] ->
        erased_only_below_certified = (live[h] != NONE && is_certified(live[h]) &&
            !((answered[h] & ~held[h]) & ~lower(live[h])));
        assert(erased_only_below_certified)
    :: else
    fi
}

/* ---- the authority ---------------------------------------------------------------------------- */

/* service/attempts.py end_attempt */
inline end_attempt(e) {
    record[e] = aborted; donors[e] = 0; owing[e] = 0
}

/* service/create.py announce; before it protocol/epochs.py opened: the dealings are complete. */
inline opened(e) {
    shown = shown | bit(e);
    kin[key[e]] = kin[key[e]] | bit(e);
    dealt[e] = 0; donors[e] = 0;
    if
    :: lying -> base[e] = 0
    :: else -> base[e] = 0; record[e] = open; owing[e] = roster[operation(e)]
    fi
}

/* service/reshare.py share_stale_keys, _groups, _attempt: those who acknowledged the live epoch
 * and are still here are asked to deal; with too few of them there is trouble, and no attempt. */
inline share_stale_keys() {
    if
    :: alive != NONE && coming == NONE && operation(alive) < now_at &&
       size(acks[alive] & present) >= M ->
        coming = 3 * now_at;
        if
        :: record[coming] != 0 -> coming = coming + 2   /* _next_attempt */
        :: else
        fi;
        record[coming] = dealing;
        base[coming] = alive;
        donors[coming] = acks[alive] & present
    :: else
    fi
}

/* service/reshare.py roster_changed, _forget_holder, _end_coming */
inline roster_changed(after) {
    roster[now_at + 1] = after;
    now_at++;
    need[now_at] = NEEDED(present);
    if
    :: lying
    :: else ->
        e_ = 0;
        do
        :: e_ < EPOCHS ->
            donors[e_] = donors[e_] & present; owing[e_] = owing[e_] & present; e_++
        :: else -> break
        od;
        e_ = 0;
        if
        :: coming == NONE
        :: coming != NONE && operation(coming) == 0 && record[coming] != dealing &&
           size(acks[coming] | (roster[0] & present)) >= need[0]       /* the making goes on */
        :: else -> end_attempt(coming); coming = NONE
        fi;
        share_stale_keys()
    fi
}

/* service/epochs.py EpochService._activate; service/create.py retire */
inline activate(e) {
    record[e] = certified;
    if
    :: alive != NONE -> owing[alive] = 0
    :: else
    fi;
    alive = e; coming = NONE;
    share_stale_keys()
}

/* service/epochs.py EpochService.acknowledge; protocol/epochs.py with_acknowledgement */
inline acknowledge(h, e) {
    if
    :: lying -> acks[e] = acks[e] | bit(h)
    :: !lying && (record[e] == open || record[e] == certified) ->
        acks[e] = acks[e] | bit(h); owing[e] = owing[e] & ~bit(h);
        if
        :: record[e] == open && is_certified(e) -> activate(e)
        :: record[e] == certified && e == alive ->
#ifndef BREAK_LATE
            share_stale_keys()                          /* one donor more may be enough now */
#else
            skip
#endif
        :: else
        fi
    :: else
    fi
}

/* service/epochs.py EpochService._again: a receive key is gone, or a piece was wrong. The next
 * attempt begins in service/attempts.py begin_next; of a reshare, with _share_again. */
inline again(e) {
    end_attempt(e);
    coming = e + 2;
    record[coming] = dealing;
    if
    :: operation(e) == 0 -> donors[coming] = 3
    :: else -> base[coming] = alive; donors[coming] = acks[alive] & present
    fi
}

/* ---- a device --------------------------------------------------------------------------------- */

/* A relay that lies shows what it has to whom it likes; an answer to holder 1 may also be late, or come
 * twice. Later only what is owed is delivered: service/sync.py SyncService._openings. */
#define delivered(h, e) (lying || has(present, h) && (has(owing[e], h) || !repented && (h) == LATE))
#define LATE 1

/* protocol/receiver.py check_made_once (keys that are made) */
#ifdef BREAK_RETAKE
#define made_once(h, e) (!(held[h] & ~lower(e)))         /* it forgets the certificate */
#else
#define made_once(h, e) (!(held[h] & ~lower(e)) && !(proven[h] & 7))
#endif

/* protocol/reshare.py check_reshare_opening: donations in order, the key of all that we hold,
 * and nothing that a certified epoch on this device has replaced. */
#ifdef BREAK_COMMITMENT
#define same_key(h, e) true
#else
#define same_key(h, e) (!wrong[e] && !(held[h] & ~kin[key[e]]))
#endif
#ifdef BREAK_REPLACED
#define not_replaced(h, e) true
#else
#define not_replaced(h, e) (!(proven[h] & ~lower(e)))
#endif

/* client/dealing.py Fragments.open */
#define may_open(h, e) (has(shown, e) && has(roster[operation(e)], h) && delivered(h, e))
#define is_here(h, e) has(held[h], e)                   /* the row in ANSWERED */
#define may_take(h, e) (may_open(h, e) && !is_here(h, e) \
    && !(held[h] & answered[h] & others(e)) \
    && (operation(e) == 0 -> made_once(h, e) : same_key(h, e) && not_replaced(h, e)))

/* client/dealing.py Fragments._answer: one transaction */
inline take(h, e) {
    taken_once = !(answered[h] & (bit(e) | others(e)));      /* (5) one statement an attempt */
    assert(taken_once);
    answered[h] = answered[h] | bit(e);
    held[h] = held[h] | bit(e);
#ifdef CROOKED
    if
    :: lying -> acks[e] = acks[e] | bit(h)              /* it reaches the relay, which may hide it */
    :: else
    fi;
#endif
#ifdef BREAK_ERASE_EARLY
    held[h] = held[h] & ~lower(e); proven[h] = proven[h] & ~lower(e);
#endif
    skip
}

/* protocol/receiver.py check_certifiable; protocol/epochs.py verify_certificate */
#ifdef BREAK_UNCERTIFIED
#define proves(e) has(shown, e)
#else
#define proves(e) is_certified(e)
#endif
#define may_prove(h, e) (is_here(h, e) && !has(proven[h], e) && proves(e) \
    && (lying || has(present, h) && record[e] == certified) \
    && (operation(e) != 0 || !(held[h] & 7 & ~lower(e) & ~bit(e))))

/* client/rows.py certify: only here does a fragment die */
inline certify(h, e) {
    proven[h] = proven[h] | bit(e);
    if
    :: live[h] == NONE || live[h] < e -> live[h] = e
    :: else
    fi;
    held[h] = held[h] & ~lower(e); proven[h] = proven[h] & ~lower(e)
}

/* protocol/reshare.py check_reshare_request, _eligible; protocol/receiver.py check_deal_request.
 * A relay that lies asks for any attempt; the first donor fixes what it starts from. */
#define asked(h, e) (lying || (record[e] == dealing && has(donors[e], h)))
#define may_deal(h, e) (!is_twin(e) && !has(shown, e) && !has(dealt[e], h) && asked(h, e) \
    && (operation(e) == 0 -> (h) < M && is_second(e) && made_once(h, e) : \
        operation(e) == now_at && has(present, h) && has(roster[now_at - 1], h) \
        && live[h] != NONE && operation(live[h]) < now_at \
        && (lying && dealt[e] == 0 || base[e] == live[h])))

/* protocol/reshare.py share_again; at the authority service/epochs.py EpochService.deal */
inline deal(h, e) {
    if
    :: operation(e) != 0 -> base[e] = live[h]
    :: else
    fi;
    dealt[e] = dealt[e] | bit(h);
    complete(e)
}

inline complete(e) {
    if
    :: size(dealt[e]) >= M ->
        if
        :: operation(e) == 0 -> key[e] = 3
        :: operation(e) != 0 && wrong[e] -> key[e] = OTHER_KEY
        :: else -> key[e] = key[base[e]]
        fi;
        if
        :: lying && !is_second(e) ->                    /* asked twice, it has dealt twice */
            key[e + 1] = key[base[e]];
            shown = shown | bit(e + 1); kin[key[e + 1]] = kin[key[e + 1]] | bit(e + 1)
        :: else
        fi;
        opened(e)
    :: else
    fi
}

/* Storing and sending are two steps. A crash between them, or a network that loses, leaves a device
 * that holds its fragment and acknowledges it only when it is shown the opening once more
 * (protocol/receiver.py acknowledge_again). What is done twice changes nothing. */
#define STEPS(e) \
    :: d_step { may_take(h, e) -> take(h, e); judge_device(h); judge() } \
    ACK_FIRST(e) \
    :: d_step { may_open(h, e) && is_here(h, e) && !has(acks[e], h) -> acknowledge(h, e); judge() } \
    :: d_step { may_prove(h, e) -> certify(h, e); judge_device(h); judge() } \
    :: d_step { may_deal(h, e) -> deal(h, e) }

#ifdef BREAK_ACK_FIRST
#define ACK_FIRST(e) :: d_step { may_take(h, e) -> acknowledge(h, e); judge() }
#else
#define ACK_FIRST(e)
#endif

proctype Holder(byte h) {
end:
    do
    STEPS(0)
    STEPS(1)
    STEPS(2)
    STEPS(3)
    STEPS(4)
    STEPS(5)
#if HEAL > 1
    STEPS(6)
    STEPS(7)
    STEPS(8)
#endif
#if HEAL > 2
    STEPS(9)
#endif
    od
}

/* ---- who lies --------------------------------------------------------------------------------- */

/* Whoever lies, or was removed and helps the relay, acknowledges what it has not got. */
#define LIES(e) \
    :: d_step { has(shown, e) && has(roster[operation(e)], h) && !has(acks[e], h) \
                && (lying || has(owing[e], h)) -> acknowledge(h, e); judge() }

#define LIES_IN_DEALING(e) \
    :: d_step { !has(shown, e) && !has(dealt[e], h) && operation(e) == now_at && asked(h, e) \
                && has(present, h) && has(roster[now_at - 1], h) && dealt[e] != 0 && !repented -> \
        deal_wrongly(h, e) }

/* service/epochs.py EpochService._checked (before the dealing counts) */
inline deal_wrongly(h, e) {
#ifndef BREAK_DONATION
    if
    :: lying -> wrong[e] = true; dealt[e] = dealt[e] | bit(h); complete(e)
    :: else -> donors[e] = donors[e] & ~bit(h)
    fi
#else
    wrong[e] = true; dealt[e] = dealt[e] | bit(h); complete(e)
#endif
}

proctype Liar(byte h) {
end:
    do
    LIES(0)
    LIES(1)
    LIES(2)
    LIES(3)
    LIES(4)
    LIES(5)
    LIES_IN_DEALING(3)
    LIES_IN_DEALING(5)
#if HEAL > 1
    LIES(6)
    LIES(7)
    LIES(8)
#endif
#if HEAL > 2
    LIES(9)
#endif
#ifdef ACROSS
    LIES_IN_DEALING(6)
    LIES_IN_DEALING(8)
#endif
    od
}

/* ---- what happens ----------------------------------------------------------------------------- */

#ifdef BREAK_REMOVAL
#define CARELESS true
#else
#define CARELESS false
#endif

/* People do not remove a holder that the key still needs (the warnings of policy.py and key show). */
inline remove(x) {
    look_for_usable(present & ~bit(x), true);
    if
    :: used == 0 || usable_ || CARELESS -> roster_changed(present & ~bit(x))
    :: else
    fi;
    e_ = 0; usable_ = 0
}

#define may_change (!repented && now_at < CHANGES)
#define may_join (may_change && !has(present, 3))
#define may_remove(x) (may_change && has(present, x) && size(present) > M)

#define GONE(e) :: d_step { !lying && !repented && record[e] == open && coming == e -> again(e) }

/* The relay lies no more: it goes on from what has been certified, and from one more change of the
 * roster, whose proposal nobody has lied about. Without CROOKED: nothing more crashes or is lost. */
inline settle() {
#ifdef CROOKED
    e_ = 0; alive = NONE;
    do
    :: e_ < EPOCHS ->
        dealt[e_] = 0; base[e_] = 0;
        if
        :: is_certified(e_) -> record[e_] = certified; alive = e_
        :: else -> record[e_] = aborted
        fi;
        e_++
    :: else -> break
    od;
    e_ = 0;
    repented = true;
    roster[now_at + 1] = present;
    now_at++;
    need[now_at] = size(present);
    record[3 * now_at] = 0;
    share_stale_keys()
#else
    repented = true
#endif
}

/* (4) exactly one epoch: the newest, certified, of the present roster, on every device; nothing
 * below it. A key that was never ready may be given up. */
#define at_rest(h) (!honest(h) || !has(present, h) || (held[h] == bit(alive) && live[h] == alive))
#define one_epoch (alive != NONE && coming == NONE && operation(alive) == now_at \
    && at_rest(0) && at_rest(1) && at_rest(2) && at_rest(3))

/* A key that m devices never had ready may be given up when holders change before it is made. */
#define may_be_lost (used == 0 && alive == NONE)

active proctype World() {
    d_step {
        live[0] = NONE; live[1] = NONE; live[2] = NONE; live[3] = NONE;
        roster[0] = FIRST; need[0] = NEEDED(FIRST);
        shown = 1; key[0] = 1; kin[1] = 1;
#ifdef MAKING
        record[0] = open; coming = 0; owing[0] = FIRST;
#ifdef CROOKED
        shown = 3; key[1] = 2; kin[2] = 2;
#endif
#else
        record[0] = certified; alive = 0; acks[0] = FIRST; used = 1;
        held[0] = 1; held[1] = 1; held[2] = 1;
        proven[0] = 1; proven[1] = 1; proven[2] = 1;
        answered[0] = 1; answered[1] = 1; answered[2] = 1;
        live[0] = 0; live[1] = 0; live[2] = 0;
#endif
    }
    atomic {
#ifdef TRAITOR
        run Liar(0);
#else
        run Holder(0);
#endif
        run Holder(1); run Holder(2); run Holder(3)
    }
end:
    do
    :: d_step { may_join -> roster_changed(present | 8); judge() }
#if defined(MAKING) || defined(TRAITOR)        /* otherwise holder 0 is as holder 2 */
    :: d_step { may_remove(0) -> remove(0); judge() }
#endif
    :: d_step { may_remove(2) -> remove(2); judge() }
    :: d_step { may_remove(3) -> remove(3); judge() }
    GONE(0)
    GONE(3)
    :: d_step { !repented && HEALS -> settle() }
    :: timeout ->
#ifdef GOAL
        never_shared = (now_at < HEAL || !one_epoch || used == 0);  /* it must come to this */
        assert(never_shared);
#endif
        ends_in_one_epoch = (lying || may_be_lost || one_epoch);    /* (4) */
        assert(ends_in_one_epoch);
        ended = true;
        break
    od
}

/* (4), the other half: the quiet ends, whatever the order of the steps. */
#ifdef ENDS
ltl ends { [] (repented -> <> ended) }
#endif
