"""English texts and the sentences in them, for the rules of English that sentence splitters are measured by."""

from __future__ import annotations

RIGHT = [
    # Ends of sentences.
    ["Hello there.", "The kettle is on."],
    ["Is it cold outside?", "Take a coat."],
    ["Watch out!", "The floor is wet."],
    ["Stop!!", "That is my sandwich."],
    ["Really??", "Nobody told me."],
    ["You sold it!?", "Nobody asked me."],
    ["What?!", "The bridge is closed."],
    # Initials and other single letters.
    ["The violin was made by Clara B. Voss in Turin."],
    ["The recipe is on p. 112 of the old book."],
    ["Prof. J. R. Moss gave the first talk."],
    ["Nobody knew it, neither she nor I.", "Did you ask Peter I. Lang about it?"],
    # Abbreviations.
    ["Did Ellen and co. bring the tent?"],
    ["The contract went to Hale, Dunn & Co. at midnight."],
    ["Ask Ellen and co.", "They have the tent."],
    ["The contract went to Hale, Dunn & Co.", "It was signed at once."],
    ["From the hut one sees Mt. Kenya at dawn."],
    ["St. Anne's Chapel is on 3rd st. near the pier."],
    ["This is Paul Orr Jr.'s bicycle."],
    ["Dr. Ames sees patients at 10 a.m. only."],
    ["I was there at the end of May.", "Ich habe es gesehen."],
    ["It was in May.", '"We leave now," she said.'],
    ["The fair is on May. 5 this year."],
    ["She moved to Bath in Jan. 1998 with her sister."],
    ["The list, e.g. apples, i.e. fruit, is short."],
    ["Bring cups, plates, etc. to the hall."],
    ["The office is closed on Fri. at noon."],
    ["It was approx. 20 ft. long."],
    ["Cf. the notes of A. B. Cole, vol. 3, pp. 4-9."],
    # Abbreviations with several periods, within a sentence and at its end.
    ["They crossed the U.S.A. by train."],
    ["We drove through the E.U.", "How far did you get?"],
    ["She was born in the U.S.", "Where were you born?"],
    ["He spoke for the U.S. Government in Geneva."],
    ["The firm has been in the U.S. for 90 years."],
    ["At 7 a.m. Mrs. Dow fed the horses.", "She came back at 9 P.M.", "Mrs. Dow was tired."],
    # Numbers.
    ["The lamp costs $80.00 in the shop."],
    ["The lamp costs $80.00.", "It is made of brass."],
    ["The parcel weighs 3.75 kg.", "It arrived today."],
    ["Look for item No. 2041.77.3 first.", "The rest can wait."],
    # Parentheses, addresses and names.
    ["He paints houses (He was a sailor for ten years.) in a village near Split."],
    ["(The shop was closed.)", "We went home."],
    ["Write to anna.bell@example.co.uk first.", "She answers fast."],
    ["The timetable is at https://trains.example.org/t.html?d=1.2 and in the station."],
    ["Her brother works for Yahoo! in the night shift."],
    # Quotations.
    ["He looked up, 'That is my hat.' he said."],
    ['He looked up, "That is my hat." he said.'],
    ['He looked up, "That is my hat."', "He took it from the chair and left."],
    # Lists, ellipses and spaces that are not as usual.
    ["1) Milk and bread", "2) Two lemons"],
    ["1.) Wash the rice.", "2.) Boil the water."],
    ["\u2022 9. Wash the rice", "\u2022 10. Boil the water"],
    ["1. Wash the rice.", "2. Boil the water."],
    ["a) Open the lid.", "b) Pour it in."],
    ["2.1. Method and data.", "2.2. Results are here."],
    ["IV. Results are here.", "They hold."],
    ["She never meant to stay....", "The train had left."],
    ["I was not sure ... well, what I mean is . . . it was dark."],
    ["The heron stood\nin the cold water."],
    ['"Newton [...] counted the steps in the tower [...]" (Hill 72).'],
    ["He writes that with time “the hills become less steep. . . .”"],
    ["One habit that was lost . . . was that of walking. . . .", "The path is overgrown. . . ."],
    # Marks of emphasis.
    ["**Mind the gap.**", "It is wide."],
    ["*One is red.*", "_Two is blue._", "Three is green."],
    ["The list is short.**", "Nothing is on it. ***"],
    ["The door was open.", "Nobody was at home."],
]
"""The sentences of texts that are split right, where the sentences are joined by a space."""

WRONG = [
    ["1. Milk and bread", "2. Two lemons"],
    ["\u20439. Wash the rice", "\u204310. Boil the water"],
    ["a. Wash the rice", "b. Boil the water", "c. Stir"],
    ["You sold it!?", "I wanted that chair."],
    ["I think it is plan B.", "Plan A failed."],
]
"""The same for texts that are not: lists written on one line, and "I" and single letters at a border."""
