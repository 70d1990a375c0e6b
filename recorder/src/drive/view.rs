//! What a program could tell of a run between two events.

use super::quiet;
use super::run::Run;
use contract::{Activity, ObjectId, Outcome, View};

impl Run {
    /// What a program could tell of the machine as it is.
    pub(super) fn view(&self) -> View {
        let m = &self.motor.m;
        let mut view = self.kernel.view(m, &self.motor.named);
        for thread in &mut view.threads {
            let id = self.motor.named.iter().find(|named| named.name == thread.name).map(|named| named.id);
            if let Some(watched) = id.and_then(|id| self.watched.get(&id)) {
                thread.ran = watched.ran.clone();
                thread.call = watched.call.as_ref().map(|call| {
                    let outcome = match &call.outcome {
                        Some(outcome) => outcome.clone(),
                        None => self.unfinished(id.expect("a watched thread has an id")),
                    };
                    format!("{} {outcome}", call.verb.name)
                });
            }
        }
        for (process, name, handle, id) in &self.shown {
            let owner = self.owner(process);
            let open = owner.is_some_and(|owner| {
                self.kernel.object(m, owner, *handle).is_some_and(|(found, _)| found == *id)
            });
            view.handles.push((format!("{process}:{name}"), open));
        }
        view
    }

    /// What a call that has not returned is doing.
    pub(super) fn unfinished(&self, thread: ObjectId) -> Outcome {
        let statuses = self.kernel.threads(&self.motor.m);
        let Some(status) = statuses.iter().find(|status| status.id == thread) else { return Outcome::Ended };
        match status.activity {
            Activity::Terminated => Outcome::Ended,
            Activity::Waiting | Activity::Suspended => Outcome::Waits,
            Activity::Initialized => Outcome::Ended,
            Activity::Runnable if quiet::parked(&self.motor.m, status) => Outcome::Ended,
            Activity::Runnable if self.passed_over.contains(&thread) => Outcome::Ready,
            // An event that ends early does not wait until everybody had the processor.
            Activity::Runnable if (self.hurried || self.cut.is_some()) && !status.current => Outcome::Ready,
            Activity::Runnable => Outcome::Busy,
        }
    }
}
